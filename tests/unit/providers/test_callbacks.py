"""A delivery's body becomes an event or a `CallbackError`, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import CallbackError
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, EventKind
from worker.providers.http import Api, trust

KEY = "sk-live-0123456789abcdefghij"
TLS = trust(None)
PROVIDERS = {name: adapter(Api(name, "https://example.com", KEY, TLS)) for name, adapter in ADAPTERS.items()}
CALLING = [provider for provider in PROVIDERS.values() if provider.trust is not CallbackTrust.NONE]
SILENT = [provider for provider in PROVIDERS.values() if provider.trust is CallbackTrust.NONE]

by_name = pytest.mark.parametrize("provider", CALLING, ids=lambda provider: provider.name)


def body(**change: Any) -> bytes:
    whole = {"id": "task-unified-1", "status": "completed", "results": ["https://example.com/v.mp4"], **change}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


@by_name
@pytest.mark.parametrize(
    ("delivery", "reason"),
    [
        (b"", "json"),
        (b"[]", "json"),
        (b"<html>", "json"),
        (b'{"id":"a","id":"b","status":"completed"}', "no_id"),
        (body(id=...), "no_id"),
        (body(id=None), "no_id"),
        (body(id=-5), "no_id"),
        (body(id="a/b"), "no_id"),
        (body(id="a\nb"), "no_id"),
        (body(id="x" * 10_000), "no_id"),
        (body(id=f"x{KEY}"), "no_id"),
        (body(status=...), "no_status"),
        (body(status=None), "no_status"),
        (body(status=["completed"]), "no_status"),
        (body(status="\x1b[0m"), "no_status"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_what_is_no_callback_is_refused_with_a_word_to_count(provider: Adapter, delivery: bytes, reason: str) -> None:
    with pytest.raises(CallbackError) as caught:
        provider.parse_callback(delivery)

    assert caught.value.reason == reason


@by_name
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, EventKind.GENERATED),
        ({"status": " Completed "}, EventKind.GENERATED),
        ({"status": "processing"}, EventKind.PENDING),
        ({"status": "failed"}, EventKind.FAILED),
        ({"status": "daydreaming"}, EventKind.UNKNOWN),
        ({"results": None}, EventKind.UNKNOWN),
        ({"results": {}}, EventKind.UNKNOWN),
        ({"results": [5, None, "http://example.com/v.mp4"]}, EventKind.UNKNOWN),
        ({"progress": -1, "created": "yesterday", "usage": [], "model": 5}, EventKind.GENERATED),
    ],
    ids=ascii,
)
def test_a_callback_is_judged_by_its_status_and_links(
    provider: Adapter, change: dict[str, Any], kind: EventKind
) -> None:
    assert provider.parse_callback(body(**change)).kind is kind


@by_name
def test_what_a_callback_says_is_made_harmless(provider: Adapter) -> None:
    evil = f"\x1b[2J\r\nfake=log {KEY} https://example.com/?sig=1 " + "x" * 2000

    event = provider.parse_callback(
        body(status="failed", model=evil, error={"code": evil, "message": evil}, usage={"billing_rule": evil})
    )

    kept = [event.status, event.error_code, event.error_message, event.model or "", *map(str, event.usage.values())]
    assert all(text.isprintable() and KEY not in text and "sig=" not in text for text in kept)
    assert len(event.error_message) <= 500
    assert len(event.model or "") <= 100


@by_name
def test_our_key_is_no_error_code_and_no_status(provider: Adapter) -> None:
    event = provider.parse_callback(body(status="failed", error={"code": KEY, "type": KEY}))

    assert (event.error_code, event.provider_code) == ("generation_failed", "")
    assert KEY not in provider.parse_callback(body(status=KEY)).status


@by_name
def test_more_links_than_any_video_has_are_left_out(provider: Adapter) -> None:
    event = provider.parse_callback(body(results=[f"https://example.com/{n}.mp4" for n in range(1000)]))

    assert len(event.links) == 16


@pytest.mark.parametrize("provider", SILENT, ids=lambda provider: provider.name)
def test_a_provider_that_does_not_call_back_is_not_heard(provider: Adapter) -> None:
    with pytest.raises(CallbackError) as caught:
        provider.parse_callback(body())

    assert caught.value.reason == "unexpected"


WORDS = [
    "id",
    "task_id",
    "request_id",
    "status",
    "results",
    "outcome",
    "media_urls",
    "url",
    "video_url",
    "error",
    "code",
    "message",
    "data",
    "result",
    "videos",
    "expires_at",
    "created",
    "created_at",
    "progress",
    "usage",
    "payload",
    "model",
    "task_info",
    "estimated_time",
    "error_code",
    "fail_reason",
    "details",
    "cost",
]
words = st.sampled_from(WORDS)
told = st.sampled_from(["completed", "success", "failed", "a-1", "https://example.com/v.mp4", "\x1b[0m", KEY, "\ud800"])
scalars = told | st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
records = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=8),
    max_leaves=30,
)


@given(st.binary(max_size=200) | records.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_callback_or_refused(delivery: bytes) -> None:
    for provider in PROVIDERS.values():
        try:
            event = provider.parse_callback(delivery)
        except CallbackError:
            continue
        assert event.request_id.isprintable()


@given(st.dictionaries(words, records, max_size=8))
def test_any_record_is_read_and_nothing_of_it_does_harm(record: dict[str, Any]) -> None:
    for provider in PROVIDERS.values():
        event = provider.event("r-1", provider.record(record))

        kept = [event.status, event.error_code, event.error_message, event.model or ""]
        assert all(text.isprintable() and KEY not in text for text in kept)
        assert (event.kind is EventKind.GENERATED) == bool(event.links)
        assert (event.kind is EventKind.FAILED) <= bool(event.error_code)
