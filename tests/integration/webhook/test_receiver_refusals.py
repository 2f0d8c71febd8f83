"""Arrivals that are refused: strangers, bodies that are no callback of the job, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import redis
from flask import Flask

from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import API_KEY, SECRET, Client, body, path
from worker.jobs.callback_token import token
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
    assert lives.job() == replace(before, call="new")
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [JOB])
    [stray] = store.callbacks.strays()
    assert (stray["job_id"], stray["reason"]) == (JOB, reason)
    assert store.counters.all()["callbacks_refused"] == 1


def test_of_a_refused_body_only_so_much_is_kept(client: Client, lives: Lives, store: Store) -> None:
    lives.submitted()

    client.deliver(b"\xff" * 60_000)

    assert len(store.callbacks.strays()[0]["body"]) == 16 * 1024


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
