"""Every kind of arrival has its answer, and its effect on the job (design section 5, "Callback route")."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from flask import Flask

from tests.conftest import WaitUntil
from tests.integration.store.conftest import BRINGS, JOB, Lives
from tests.integration.webhook.conftest import API_KEY, OLD_SECRET, SECRET, Client, body, path
from worker.jobs.callback_token import token
from worker.jobs.states import JobState
from worker.messaging.publisher import Publisher
from worker.providers.apimart import ApiMart
from worker.providers.evolink import EvoLink
from worker.store import Store

TOKEN = token(SECRET, "evolink", JOB, 1)
NOT_FOUND = (404, b'{"error": "not found"}')


def snapshot(raw: redis.Redis) -> dict[bytes, bytes | None]:
    """Every key of Redis with all it holds."""
    return {key: raw.dump(key) for key in raw.scan_iter()}


def commands(raw: redis.Redis) -> dict[str, Any]:
    """The commands that Redis got since it began, but for this one."""
    return {name: calls for name, calls in raw.info("commandstats").items() if name != "cmdstat_info"}


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """A client that does not decode, for `snapshot`."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_a_callback_is_stored_and_its_job_is_due(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert [event.request_id for event in store.callbacks.events(JOB)] == ["r1"]
    assert store.due.ids() == [JOB]


def test_a_callback_moves_nothing_by_itself(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver()

    assert lives.job().state is JobState.SUBMITTED
    assert store.jobs.links(JOB) == ()


def test_a_stored_callback_nudges_the_archive_step(
    client: Client, lives: Lives, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()

    client.deliver()

    publisher.close(timeout_seconds=30)
    assert nudged == [JOB]


@pytest.mark.parametrize("changes", [{"status": "failed", "results": ...}, {"status": "cancelled", "results": ...}])
def test_a_bad_ending_is_stored_like_a_good_one(
    client: Client, lives: Lives, store: Store, changes: dict[str, Any]
) -> None:
    lives.submitted()

    answer = client.deliver(body(**changes))

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert [event.is_terminal for event in store.callbacks.events(JOB)] == [True]


def test_the_same_callback_again_is_a_repeat_and_nudges_nobody(
    client: Client, lives: Lives, store: Store, publisher: Publisher, nudged: list[str]
) -> None:
    lives.submitted()
    client.deliver()

    again = client.deliver(json.dumps(json.loads(body()), indent=1, sort_keys=True).encode())

    assert (again.status_code, again.json) == (200, {"outcome": "repeat"})
    assert len(store.callbacks.events(JOB)) == 1
    publisher.close(timeout_seconds=30)
    assert nudged == [JOB]


def test_four_equal_callbacks_at_once_are_stored_once_and_all_thanked(app: Flask, lives: Lives, store: Store) -> None:
    lives.submitted()
    together = threading.Barrier(4)

    def deliver(_: int) -> tuple[int, str]:
        together.wait()
        answer = Client(app).deliver()
        return answer.status_code, answer.json["outcome"]  # type: ignore[index]

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(deliver, range(4)))

    assert answers == [(200, "repeat")] * 3 + [(200, "stored")]
    assert len(store.callbacks.events(JOB)) == 1


@pytest.mark.parametrize("held", ["submitting", "unconfirmed", "failed(confirm)"])
def test_an_early_callback_leaves_its_request_id_as_a_candidate(
    client: Client, lives: Lives, store: Store, held: str
) -> None:
    BRINGS[held](lives)

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert list(store.callbacks.candidates(JOB)) == ["r1"]


@pytest.mark.parametrize("held", ["expired", "failed(generate)", "failed(archive)"])
def test_late_truth_is_stored(client: Client, lives: Lives, store: Store, held: str) -> None:
    BRINGS[held](lives)

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "stored"})
    assert store.due.ids() == [JOB]


@pytest.mark.parametrize("held", ["generated", "archived", "failed(submit)", "cancelled"])
def test_a_callback_that_nobody_needs_is_late_and_nudges_nobody(
    client: Client, lives: Lives, publisher: Publisher, nudged: list[str], held: str
) -> None:
    BRINGS[held](lives)
    before = lives.job()

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "late"})
    assert lives.job() == before
    publisher.close(timeout_seconds=30)
    assert nudged == []


def test_a_callback_for_a_job_of_which_only_the_tombstone_is_left_is_late(
    client: Client, lives: Lives, raw: redis.Redis
) -> None:
    lives.closed(lives.archived())
    raw.delete(*raw.scan_iter("*:job:*"))

    answer = client.deliver()

    assert (answer.status_code, answer.json) == (200, {"outcome": "late"})


@pytest.mark.parametrize("status", ["pending", "processing", "half-baked"])
def test_a_word_that_ends_nothing_is_noted(client: Client, lives: Lives, store: Store, status: str) -> None:
    lives.submitted()

    answer = client.deliver(body(status=status, progress=50, results=...))

    assert (answer.status_code, answer.json) == (200, {"outcome": "noted"})
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [JOB])


def test_a_word_that_we_do_not_know_is_counted(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver(body(status="half-baked", results=...))

    assert store.counters.all()["callbacks_unknown_status"] == 1


@pytest.mark.parametrize(("status", "told"), [("half-baked", "half-baked"), ("a corgi on the beach", "(not a word)")])
def test_a_word_that_we_do_not_know_is_logged_unless_it_could_be_a_prompt(
    client: Client, lives: Lives, caplog: pytest.LogCaptureFixture, status: str, told: str
) -> None:
    lives.submitted()

    client.deliver(body(status=status, results=...))

    [record] = [record for record in caplog.records if record.message == "status.unknown"]
    assert vars(record)["status"] == told


def test_a_callback_signed_with_the_older_secret_is_taken(client: Client, lives: Lives) -> None:
    lives.submitted()

    answer = client.deliver(to=path(secret=OLD_SECRET))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"/callbacks/evolink/{JOB}/1/{TOKEN[:-1]}", id="a token cut short"),
        pytest.param(f"/callbacks/evolink/{JOB}/1/{TOKEN}A", id="a token too long"),
        pytest.param(f"/callbacks/evolink/{JOB}/1/{TOKEN.swapcase()}", id="a token in other case"),
        pytest.param(f"/callbacks/evolink/{JOB}/1/{token(SECRET, 'evolink', 'job-2', 1)}", id="another job's token"),
        pytest.param(f"/callbacks/evolink/{JOB}/1/{token(SECRET, 'evolink', JOB, 2)}", id="another attempt's token"),
        pytest.param(f"/callbacks/evolink/{JOB}/2/{TOKEN}", id="another attempt"),
        pytest.param(f"/callbacks/evolink/{JOB}/01/{TOKEN}", id="an attempt written otherwise"),
        pytest.param(f"/callbacks/evolink/{JOB}/%2b1/{TOKEN}", id="an attempt with a sign"),
        pytest.param(f"/callbacks/evolink/{JOB}/%D9%A1/{TOKEN}", id="an attempt in foreign digits"),
        pytest.param(f"/callbacks/evolink/{JOB}/1%0d%0a/{TOKEN}", id="an attempt with a line break"),
        pytest.param(path(secret="a-secret-that-was-never-among-ours"), id="an unknown secret's token"),
        pytest.param(path("no-such-job")[:-1] + "_", id="an unknown job with a bad token"),
        pytest.param(f"/callbacks/nobody/{JOB}/1/{token(SECRET, 'nobody', JOB, 1)}", id="an unknown provider"),
        pytest.param(f"/callbacks/Evolink/{JOB}/1/{TOKEN}", id="a provider in capitals"),
        pytest.param(path(provider="gmicloud"), id="a provider that never calls back"),
        pytest.param(path("{0}:job"), id="a job id with a hash tag"),
        pytest.param(path("*"), id="a job id that is a pattern"),
        pytest.param(path("j" * 65), id="a job id too long"),
        pytest.param(path("%00"), id="a job id of NUL"),
        pytest.param(path("jоb-1"), id="a job id with a Cyrillic letter"),
        pytest.param(path("%2e%2e%2fjob-1"), id="a job id that climbs"),
        pytest.param(path("job-1;jsessionid=1"), id="a job id with a parameter"),
        pytest.param("/" + path(), id="a leading slash more"),
        pytest.param(path().replace("/evolink/", "//evolink/"), id="a doubled slash"),
        pytest.param(path()[:-1] + "/callback", id="a segment more behind a token cut short"),
        pytest.param(path().replace("%", "%25").replace("_", "%255F").replace("-", "%252D"), id="escaped twice"),
        pytest.param("/callbacks", id="no segments"),
        pytest.param("/", id="the root"),
        pytest.param("/metrics", id="an unknown route"),
    ],
)
def test_a_stranger_gets_one_answer_for_all_and_touches_nothing(
    client: Client, lives: Lives, raw: redis.Redis, url: str
) -> None:
    lives.submitted()
    before, asked = snapshot(raw), commands(raw)

    answer = client.deliver(to=url)

    assert (answer.status_code, answer.data) == NOT_FOUND
    assert sorted(answer.headers) == [("Content-Length", "22"), ("Content-Type", "application/json")]
    assert commands(raw) == asked
    assert snapshot(raw) == before


def test_a_valid_token_without_a_record_is_alarmed_and_its_body_kept(
    client: Client, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.deliver(body(id="r9"))

    assert (answer.status_code, answer.data) == NOT_FOUND
    assert [record.levelname for record in caplog.records if record.message == "callback.orphaned"] == ["ERROR"]
    assert store.counters.all()["callbacks_orphaned"] == 1
    [stray] = store.callbacks.strays()
    assert (stray["job_id"], stray["reason"], json.loads(stray["body"])["id"]) == (JOB, "missing", "r9")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "json", id="nothing"),
        pytest.param(b"status=completed", "json", id="a form"),
        pytest.param(b"[]", "no_id", id="an empty list"),
        pytest.param(b'{"id": "r1", "status": "completed", "id": "r1"}', "json", id="a key twice"),
        pytest.param(b'{"id": "r1", "status": NaN}', "json", id="NaN"),
        pytest.param(b'\xef\xbb\xbf{"id": "r1", "status": "completed"}', "json", id="a byte order mark"),
        pytest.param(b"[" * 60_000, "json", id="a nesting that breaks parsers"),
        pytest.param(body(id=...), "no_id", id="no id"),
        pytest.param(body(id=None), "no_id", id="a null id"),
        pytest.param(body(id=1), "mismatch", id="a number as id"),
        pytest.param(body(id="r" * 10_000), "no_id", id="an id of 10 KB"),
        pytest.param(body(id="r\n1"), "no_id", id="an id with a line break"),
        pytest.param(body(id="../r1"), "no_id", id="an id that climbs"),
        pytest.param(body(id=f"r-{API_KEY}"), "no_id", id="our key as id"),
        pytest.param(body(status=...), "no_status", id="no status"),
        pytest.param(body(status=None), "no_status", id="a null status"),
        pytest.param(body(status=["completed"]), "no_status", id="a list as status"),
        pytest.param(body(id="r2"), "mismatch", id="another request's id"),
    ],
)
def test_what_is_no_callback_of_the_job_is_refused_and_kept_and_its_job_looked_at(
    client: Client, lives: Lives, store: Store, data: bytes, reason: str
) -> None:
    lives.submitted()
    before = lives.job()

    answer = client.deliver(data)

    assert (answer.status_code, answer.json) == (400, {"error": "bad request", "reason": reason})
    assert lives.job() == before
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [JOB])
    [stray] = store.callbacks.strays()
    assert (stray["job_id"], stray["reason"]) == (JOB, reason)
    assert store.counters.all()["callbacks_refused"] == 1


def test_of_a_refused_body_only_so_much_is_kept(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver(b"\xff" * 60_000)

    assert len(store.callbacks.strays()[0]["body"]) == 16 * 1024


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


def test_a_ninth_unknown_request_is_turned_away_so_that_it_comes_again(
    client: Client, lives: Lives, store: Store
) -> None:
    lives.submitting()
    for n in range(8):
        assert client.deliver(body(id=f"forged-{n}")).status_code == 200

    answer = client.deliver(body(id="r1"))

    assert (answer.status_code, answer.json) == (503, {"error": "unavailable"})
    assert "r1" not in store.callbacks.candidates(JOB)
    assert store.counters.all()["callbacks_full"] == 1


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


@pytest.mark.parametrize(
    ("data", "options"),
    [
        pytest.param(b"junk", {}, id="no JSON"),
        pytest.param(b" " * 100_000, {}, id="too large"),
        pytest.param(b"junk", {"content_type": "text/plain"}, id="another type"),
        pytest.param(body(id="r2"), {}, id="another request's id"),
        pytest.param(body(), {"to": path("no-such-job")}, id="a job that was lost"),
    ],
)
def test_a_provider_that_never_comes_again_after_a_4xx_is_told_200(
    app: Flask,
    client: Client,
    store: Store,
    lives: Lives,
    data: bytes,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lives.submitted()
    monkeypatch.setattr(EvoLink, "repeats_refused_callbacks", False)

    answer = client.deliver(data, **options)

    assert (answer.status_code, answer.json) == (200, {"outcome": "refused"})
    assert (store.due.ids(), len(store.callbacks.strays())) == ([] if "to" in options else [JOB], 1)
    assert client.deliver(to=path()[:-1]).status_code == 404


def test_apimart_is_known_not_to_come_again_after_a_4xx_and_evolink_to_do() -> None:
    assert (ApiMart.repeats_refused_callbacks, EvoLink.repeats_refused_callbacks) == (False, True)


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


def test_no_log_line_holds_a_token_a_link_or_a_key(
    client: Client, lives: Lives, caplog: pytest.LogCaptureFixture, wait_until: WaitUntil
) -> None:
    caplog.set_level("DEBUG")
    lives.submitted()

    client.deliver()
    client.deliver(body(id="r2"))
    client.deliver(b"{", to=path("job-2"))
    client.deliver(body(error={"message": API_KEY}, status="failed"))
    client.deliver(to=path()[:-1])
    client.deliver(b" " * 70_000)
    client.ask(path())

    told = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "callback.taken" in told
    assert not [secret for secret in (TOKEN, TOKEN[:20], API_KEY, SECRET, "OF-A-LINK") if secret in told]
