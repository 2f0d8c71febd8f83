"""Whatever is sent, the receiver answers in JSON, never with a server error, and takes nothing without a token."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.valkey import Valkey
from tests.integration.store.conftest import Lives
from tests.integration.webhook.conftest import RETENTION_MS, Client, environment, path
from webhook.app import create_app
from worker import providers
from worker.messaging.publisher import Publisher
from worker.settings.settings import Settings
from worker.store import Store, connect

IN_DISGUISE: st.SearchStrategy[object] = st.sampled_from(
    ["r1", "r2", "completed", "failed", "processing", "", None, 1, [], {}]
)
TEXT = st.text(max_size=20) | st.sampled_from(["https://files.example.com/v.mp4", "\x1b[2J", "${x}", "%s", "\ud800"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
FIELDS = ("created", "error", "model", "progress", "results", "task_id", "task_info", "usage")
CALLBACK = st.fixed_dictionaries(
    {"id": IN_DISGUISE | VALUE, "status": IN_DISGUISE | VALUE}, optional=dict.fromkeys(FIELDS, IN_DISGUISE | VALUE)
)
BODY = st.binary(max_size=500) | VALUE.map(json.dumps).map(str.encode) | CALLBACK.map(json.dumps).map(str.encode)
HEADERS = st.sampled_from(["Content-Type", "Content-Encoding", "Host", "Accept", "X-Forwarded-Host"])
PATH = st.text(max_size=80) | st.lists(st.text(max_size=10), max_size=6).map(
    lambda parts: f"callbacks/{'/'.join(parts)}"
)
HEADER = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)


@pytest.fixture(scope="module")
def fuzzed(valkey: Valkey) -> Iterator[Client]:
    """A receiver over a store with one submitted job, kept through all examples of a test."""
    with connect(valkey.url) as client:
        client.flushall()
        store = Store(client, retention_ms=RETENTION_MS)
        Lives(store).submitted()
        config = Settings.from_env(environment(valkey.url))
        publisher = Publisher(lambda job_ids: None)
        yield Client(_app(config, store, publisher))
        publisher.close()


def _app(config: Settings, store: Store, publisher: Publisher) -> Flask:
    return create_app(
        store=store, providers=providers.build(config), secrets=config.callback_secrets, publisher=publisher
    )


@given(BODY)
@settings(max_examples=300)
def test_no_body_makes_a_server_error(fuzzed: Client, data: bytes) -> None:
    answer = fuzzed.deliver(data)

    assert answer.status_code in (200, 400)
    assert isinstance(answer.json, dict)


@given(
    st.dictionaries(st.sampled_from(["Content-Type", "Content-Encoding", "Host", "Accept", "X-Forwarded-Host"]), HEADER)
)
def test_no_header_makes_a_server_error(fuzzed: Client, headers: dict[str, str]) -> None:
    answer = fuzzed.deliver(content_type=None, headers=headers)

    assert answer.status_code in (200, 400, 415)
    assert isinstance(answer.json, dict)


@given(PATH)
def test_no_path_without_a_token_is_anything_but_not_found(fuzzed: Client, text: str) -> None:
    answer = fuzzed.deliver(to="/" + text.replace("?", "").replace("#", ""))

    assert (answer.status_code, answer.json) in [(404, {"error": "not found"}), (405, {"error": "method not allowed"})]


@given(st.integers(1, len(path()) - 1), st.characters(codec="utf-8"))
def test_no_change_to_a_true_path_is_taken(fuzzed: Client, position: int, char: str) -> None:
    changed = path()[:position] + char + path()[position + 1 :]
    if changed == path():
        return

    answer = fuzzed.deliver(to=changed)

    assert answer.status_code in (404, 405)
