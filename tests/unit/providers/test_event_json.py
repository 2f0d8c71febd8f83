"""The stored form of a callback's event, and arrivals that say the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from worker.jobs.job import Link
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.event_json import dump, fingerprint, load

EVENT = ProviderEvent(
    request_id="r1",
    kind=EventKind.GENERATED,
    status="completed",
    progress=100,
    links=(Link("https://cdn.example.com/v.mp4", 1_800_000_000_000),),
    error_message="ünïcode",
    usage={"credits": 7.2},
    model="kling",
    created_at=1_700_000_000_000,
    payload={"prompt": "a secret garden"},
)


def test_an_event_is_read_back_as_it_was_kept_but_for_our_own_payload() -> None:
    assert load(dump(EVENT)) == replace(EVENT, payload=None)


def test_no_prompt_is_kept_with_an_event() -> None:
    assert "garden" not in dump(EVENT)


def test_an_event_with_least_facts_is_kept_too() -> None:
    event = ProviderEvent(request_id="r1", kind=EventKind.FAILED)

    assert load(dump(event)) == event


def test_a_kept_event_is_plain_json() -> None:
    kept = json.loads(dump(EVENT))

    assert kept["kind"] == "generated"
    assert kept["links"] == [{"expires_at": 1_800_000_000_000, "url": "https://cdn.example.com/v.mp4"}]


def test_a_redelivery_has_the_same_fingerprint_though_it_was_read_later() -> None:
    later = replace(EVENT, links=(Link("https://cdn.example.com/v.mp4", 1_800_000_060_000),))

    assert fingerprint("evolink", later) == fingerprint("evolink", EVENT)


@pytest.mark.parametrize(
    "change",
    [
        {"request_id": "r2"},
        {"kind": EventKind.FAILED},
        {"status": "done"},
        {"progress": 99},
        {"links": ()},
        {"links": (Link("https://cdn.example.com/other.mp4"),)},
        {"error_code": "nsfw"},
        {"error_message": "no"},
        {"usage": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_else_a_delivery_says_is_another_event(change: dict[str, object]) -> None:
    assert fingerprint("evolink", replace(EVENT, **change)) != fingerprint("evolink", EVENT)  # type: ignore[arg-type]


def test_two_providers_may_use_the_same_request_id() -> None:
    assert fingerprint("apimart", EVENT) != fingerprint("evolink", EVENT)
