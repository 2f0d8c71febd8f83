"""The API as the Procfile serves it: orders, long polls, bodies and logs."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import WaitUntil
from tests.integration.console.conftest import ALL, SECRETS, Lives, Served

SPEC = {"model": "kling-3.0-turbo", "prompt": "A corgi running on the beach", "duration": 5}
CAP = 8 * 1024 * 1024


def test_a_job_is_ordered_once_per_id(served: Served) -> None:
    first = served.ask("POST", "/v1/jobs", json=SPEC, headers={"Idempotency-Key": "order-1"})
    again = served.ask("POST", "/v1/jobs", json={**SPEC, "job_id": "order-1"})
    other = served.ask("POST", "/v1/jobs", json={**SPEC, "duration": 6}, headers={"Idempotency-Key": "order-1"})
    unnamed = served.ask("POST", "/v1/jobs", json=SPEC)

    assert [answer.status_code for answer in (first, again, other, unnamed)] == [202, 202, 422, 202]
    assert first.headers["Location"] == again.headers["Location"] == "/v1/jobs/order-1"
    assert first.json()["spec"]["prompt"] == SPEC["prompt"]
    assert other.json()["type"] == "urn:callsheet:problem:spec_conflict"
    assert served.ask("GET", unnamed.headers["Location"]).json()["state"] == "accepted"


def test_all_problems_of_an_order_are_told_at_once(served: Served) -> None:
    bad = {"job_id": "a b", "model": "kling-3.0-turbo", "duration": "5", "nonsense": 1}

    answer = served.ask("POST", "/v1/jobs", json=bad)
    two_ids = served.ask("POST", "/v1/jobs", json={**SPEC, "job_id": "a"}, headers={"Idempotency-Key": "b"})

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert {"job_id", "duration", "nonsense"} <= {error["field"] for error in answer.json()["errors"]}
    assert {error["pointer"] for error in answer.json()["errors"]} >= {"/job_id", "/duration", "/nonsense"}
    assert [error["field"] for error in two_ids.json()["errors"]] == ["job_id"]
    assert served.ask("GET", "/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"model": "a", "model": "b"}', "application/json", 400),
        (b"", "application/json", 400),
        (json.dumps(SPEC).encode(), "text/plain", 415),
        (b'{"prompt": "' + b"x" * (CAP - 14) + b'"}', "application/json", 400),
        (b'{"prompt": "' + b"x" * (CAP - 13) + b'"}', "application/json", 413),
    ],
    ids=["half", "list", "twice", "empty", "text", "cap", "past the cap"],
)
def test_a_body_that_is_no_order_is_refused(served: Served, data: bytes, kind: str, status: int) -> None:
    answer = served.ask("POST", "/v1/jobs", data=data, headers={"Content-Type": kind})

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_200_long_polls_wait_at_once_and_all_are_woken(served: Served, lives: Lives, wait_until: WaitUntil) -> None:
    lives.accept("j1")
    etag = served.ask("GET", "/v1/jobs/j1").headers["ETag"]

    with ThreadPoolExecutor(200) as callers:
        waiting = [
            callers.submit(served.ask, "GET", "/v1/jobs/j1?wait=60", headers={"If-None-Match": etag})
            for _ in range(200)
        ]
        assert served.ask("GET", "/v1/jobs/j1").status_code == 200, "others are served meanwhile"
        lives.submit("j1")
        answers = [caller.result() for caller in waiting]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["ETag"] for answer in answers} != {etag}


def test_the_console_shows_that_it_lives_until_it_ends(served: Served, lives: Lives, wait_until: WaitUntil) -> None:
    wait_until(lambda: [beat.kind for beat in lives.store.heartbeats.all()] == ["console"], 30)
    findings = served.ask("GET", "/v1/doctor").json()["findings"]

    assert "console" not in {finding["what"] for finding in findings}
    assert "alive: console 1" in next(finding["seen"] for finding in findings if finding["what"] == "processes")


def test_no_secret_nor_prompt_is_logged_and_a_request_is_found_by_its_id(served: Served, wait_until: WaitUntil) -> None:
    served.ask("POST", "/v1/jobs", json=SPEC, headers={"X-Request-Id": "mine-1"})
    served.ask("GET", "/v1/jobs/secret-of-a-path", "x" * 40)
    echoed = served.ask("GET", "/v1/jobs", headers={"X-Request-Id": "bad id\t"}).headers["X-Request-Id"]

    wait_until(lambda: echoed in served.log.read_text())
    log = served.log.read_text()

    assert "mine-1" in log
    assert " " not in echoed
    assert [secret for secret in (ALL, *SECRETS.values(), "x" * 40, "corgi", "secret-of-a-path") if secret in log] == []
