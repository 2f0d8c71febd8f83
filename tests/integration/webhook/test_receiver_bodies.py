"""The reading of a request by the receiver: its size, type, wrapping and method, and what is never believed."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import Client, body, path
from worker.messaging.publisher import Publisher
from worker.store import Store


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(body(results=...), id="completed without results"),
        pytest.param(body(results=None), id="null results"),
        pytest.param(body(results={"url": "https://files.example.com/v.mp4"}), id="results that are an object"),
        pytest.param(body(results=[7, None, {}]), id="results that are no strings"),
        pytest.param(body(results=["https://files.example.com/v.mp4"] * 900), id="900 results"),
        pytest.param(body(progress=-1), id="a progress below 0"),
        pytest.param(body(progress="101"), id="a progress of 101"),
        pytest.param(body(created="1970-01-01"), id="a date that is a text"),
        pytest.param(body(created=10**19), id="a date far away"),
        pytest.param(body(error={"code": ["x"], "message": {}}), id="an error of odd shape"),
        pytest.param(body(status="failed", error={"code": "x", "message": "m" * 60_000}), id="an error of 60 KB"),
        pytest.param(body(status="failed", error={"message": "\x1b[2J${jndi:ldap://x}<script>"}), id="a hostile error"),
        pytest.param(body(model="another-model"), id="another model"),
        pytest.param(body(status="COMPLETED"), id="a status in capitals"),
        pytest.param(body(status=" completed "), id="a status in spaces"),
        pytest.param(body(usage=[1, 2, 3]), id="a usage of odd shape"),
    ],
)
def test_odd_facts_beside_a_true_id_are_no_reason_to_lose_a_callback(client: Client, lives: Lives, data: bytes) -> None:
    lives.submitted()

    assert client.deliver(data).status_code == 200


@pytest.mark.parametrize("size", [64 * 1024 + 1, 100_000, 10 * 1024 * 1024])
def test_a_body_beyond_64_kib_is_too_large_and_its_job_is_looked_at(
    client: Client, lives: Lives, store: Store, size: int
) -> None:
    lives.submitted()

    answer = client.deliver(b" " * size)

    assert (answer.status_code, answer.json) == (413, {"error": "too large"})
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [JOB])
    assert [stray["reason"] for stray in store.callbacks.strays()] == ["too_large"]


def test_without_a_token_the_body_is_not_even_read(client: Client, lives: Lives) -> None:
    lives.submitted()
    unread = io.BytesIO(b" " * 1000)

    answer = client.ask(path()[:-1], "POST", input_stream=unread, content_length=1000)

    assert (answer.status_code, unread.tell()) == (404, 0)


def test_a_body_of_64_kib_is_read(client: Client, lives: Lives) -> None:
    lives.submitted()

    assert client.deliver(body().ljust(64 * 1024)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json;charset=utf8",
        "application/json; charset=UTF8 ",
    ],
)
def test_plain_json_may_say_that_it_is_utf_8(client: Client, lives: Lives, content_type: str) -> None:
    lives.submitted()

    assert client.deliver(content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json; charset=utf-8; charset=utf-7"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip, br"},
    ],
    ids=str,
)
def test_any_other_type_or_a_content_encoding_is_told_so_and_what_the_body_says_is_kept_all_the_same(
    client: Client, lives: Lives, store: Store, headers: dict[str, str]
) -> None:
    lives.submitted()

    answer = client.deliver(content_type=None, headers=headers)

    assert (answer.status_code, answer.json) == (415, {"error": "unsupported media type"})
    assert [event.request_id for event in store.callbacks.events(JOB)] == ["r1"]
    assert (store.due.ids(), store.callbacks.strays()) == ([JOB], [])


FORM = urlencode({"id": "r1", "status": "completed"}).encode()


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        pytest.param(FORM, {"Content-Type": "application/x-www-form-urlencoded"}, 415, id="a form"),
        pytest.param(b"r1 is completed", {"Content-Type": "text/plain"}, 415, id="plain text"),
        pytest.param(b"<status>completed</status>", {"Content-Type": "text/xml"}, 415, id="XML"),
        pytest.param(
            gzip.compress(body()), {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, id="gzip"
        ),
        pytest.param(body().decode().encode("utf-16"), {"Content-Type": "application/json"}, 400, id="UTF-16"),
        pytest.param(b"", {"Content-Type": "application/json"}, 400, id="nothing"),
        pytest.param(b"[]", {"Content-Type": "application/json"}, 400, id="an empty array"),
        pytest.param(b'"r1"', {"Content-Type": "application/json"}, 400, id="a text"),
    ],
)
def test_a_delivery_that_cannot_be_read_makes_its_job_due_at_once(
    client: Client,
    lives: Lives,
    store: Store,
    publisher: Publisher,
    nudged: list[str],
    data: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    lives.submitted()

    answer = client.deliver(data, content_type=None, headers=headers)

    assert answer.status_code == status
    assert (store.callbacks.events(JOB), store.due.ids(), len(store.callbacks.strays())) == ((), [JOB], 1)
    publisher.close(timeout_seconds=30)
    assert nudged == [JOB]


def test_of_many_deliveries_that_cannot_be_read_the_first_one_nudges(
    client: Client, lives: Lives, publisher: Publisher, store: Store, nudged: list[str]
) -> None:
    lives.submitted()

    for _ in range(5):
        client.deliver(b"junk")
        store.due.rest(lives.claimed(), due_in_ms=3_600_000)

    publisher.close(timeout_seconds=30)
    assert (nudged, store.due.ids()) == ([JOB], [])


@pytest.mark.parametrize("appended", ["/", "/callback", "/callback/", "/api/callback", "?source=relay"])
def test_what_a_provider_appends_to_the_url_is_ignored(
    client: Client, lives: Lives, store: Store, appended: str
) -> None:
    lives.submitted()

    answer = client.deliver(to=path() + appended)

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda record: [record], id="an array"),
        pytest.param(lambda record: {"code": 200, "data": record}, id="in data"),
        pytest.param(lambda record: {"code": 200, "data": [record]}, id="in a list in data"),
        pytest.param(lambda record: {"id": "evt_1", "type": "task.completed", "data": record}, id="in an event"),
        pytest.param(lambda record: {"event": {"task": record}}, id="two levels down"),
        pytest.param(lambda record: {"data": {"data": [record]}}, id="in data in data"),
    ],
)
def test_a_record_is_found_in_what_it_is_wrapped_in(
    client: Client, lives: Lives, store: Store, wrap: Callable[[Any], Any]
) -> None:
    lives.unconfirmed()

    answer = client.deliver(json.dumps(wrap(json.loads(body()))).encode())

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert list(store.callbacks.candidates(JOB)) == ["r1"]


def test_a_wrapper_is_not_searched_without_end(client: Client, lives: Lives, store: Store) -> None:
    lives.unconfirmed()

    answer = client.deliver(json.dumps([{"id": "r0"}] * 20 + [json.loads(body())]).encode())

    assert (answer.status_code, dict(store.callbacks.candidates(JOB)), store.due.ids()) == (400, {}, [JOB])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_a_callback_is_only_taken_by_post(client: Client, method: str) -> None:
    answer = client.ask(path(), method, data=body(), content_type="application/json")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("host", ["evil.example", "a b", "évil", "localhost:99999", "[", ""])
def test_the_host_header_is_never_used(client: Client, lives: Lives, host: str) -> None:
    lives.submitted()

    answer = client.deliver(environ_overrides={"HTTP_HOST": host}, headers={"X-Forwarded-Host": host})

    assert answer.status_code == 200
    assert "Location" not in answer.headers


def test_a_method_cannot_be_overridden(client: Client, lives: Lives) -> None:
    lives.submitted()

    assert client.deliver(headers={"X-HTTP-Method-Override": "GET"}).json == {"outcome": "stored"}
