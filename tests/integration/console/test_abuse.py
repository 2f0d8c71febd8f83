"""The API under abuse: too many callers and no Redis, bodies past every bound, tokens that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import Client

from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Lives
from tests.integration.console.conftest import bearer, serving
from worker.console.app import create_app
from worker.console.openapi.calls import CALLS
from worker.console.requests import BODY_BYTES
from worker.operations.view import Reader
from worker.services import Services, open_store
from worker.settings.settings import Settings

OLD, NEW = "the-old-secret-of-ada-00000000000000", "the-new-secret-of-ada-11111111111111"
TAKE_A_BODY = sorted(call for call, said in CALLS.items() if "requestBody" in said)


def test_200_long_polls_are_answered_when_redis_dies_and_served_when_it_is_back(
    api_environment: Mapping[str, str], tmp_path: Path, wait_until: WaitUntil
) -> None:
    with Valkey(tmp_path / "valkey", "password-of-a-test") as redis:
        env = {**api_environment, "CALLSHEET_REDIS_URL": redis.url}
        lives = Lives(open_store(Settings.from_env(env)))
        for n in range(20):
            lives.accept(f"j{n}")
        with serving(env, tmp_path / "console.log", wait_until) as served, ThreadPoolExecutor(200) as callers:
            known = {"If-None-Match": served.ask("GET", "/v1/jobs/j0").headers["ETag"]}
            waiting = [
                callers.submit(served.ask, "GET", f"/v1/jobs/j{n % 20}?wait=60", headers=known) for n in range(200)
            ]
            assert served.ask("GET", "/ready").status_code == 200

            redis.kill()
            answers = [caller.result(120) for caller in waiting]
            alive, ready = served.ask("GET", "/live"), served.ask("GET", "/ready")
            redis.start()
            again = served.ask("GET", "/v1/jobs/j0")

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/problem+json"}
    assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
    assert (alive.status_code, ready.status_code, again.status_code) == (200, 503, 200)
    assert "Traceback" not in (tmp_path / "console.log").read_text()


@pytest.mark.parametrize("call", TAKE_A_BODY, ids=" ".join)
def test_a_body_past_its_bounds_is_refused_and_does_nothing(
    client: Client, lives: Lives, call: tuple[str, str]
) -> None:
    lives.accept("j1")
    before = lives.store.history.entries("j1")
    method, rule = call
    path = rule.replace("<job_id>", "j1").replace("<provider>", "evolink")
    bodies = {
        413: b'{"reason": "' + b"x" * BODY_BYTES + b'"}',
        400: b'{"reason": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        415: b"reason=x",
    }
    kinds = {413: "application/json", 400: "application/json", 415: "application/x-www-form-urlencoded"}

    answers = {
        status: client.open(path, method=method, data=data, headers={**bearer(), "Content-Type": kinds[status]})
        for status, data in bodies.items()
    }

    assert {status: answer.status_code for status, answer in answers.items()} == {413: 413, 400: 400, 415: 415}
    assert {answer.content_type for answer in answers.values()} == {"application/problem+json"}
    assert lives.store.history.entries("j1") == before
    assert lives.store.pauses.all() == {}


def test_a_secret_is_changed_without_a_moment_in_which_none_is_taken(environment: Mapping[str, str]) -> None:
    steps = [f"ada:read:{OLD}", f"ada:read:{OLD},ada:read:{NEW}", f"ada:read:{NEW}"]

    taken = [tuple(serves(_app(environment, tokens), secret) for secret in (OLD, NEW)) for tokens in steps]

    assert taken == [(True, False), (True, True), (False, True)]


def serves(app: Flask, secret: str) -> bool:
    status = app.test_client().get("/v1/providers", headers=bearer(secret)).status_code
    assert status in (200, 401)
    return status == 200


def _app(environment: Mapping[str, str], tokens: str) -> Flask:
    env = {**environment, "CALLSHEET_API_TOKENS": tokens}
    return create_app(reader=Reader.from_env(env), services=Services.from_settings(Settings.from_env(env)), env=env)


def test_an_answer_never_repeats_a_secret_or_a_prompt(client: Client, lives: Lives) -> None:
    asked = {"model": "kling-3.0-turbo", "prompt": "a secret corgi", "duration": "five"}

    refused = client.post("/v1/quotes", json=asked, headers=bearer())
    unknown = client.get("/v1/jobs?state=corgi-of-the-query", headers=bearer())

    assert "a secret corgi" not in refused.text
    assert "five" not in refused.text
    assert "corgi-of-the-query" not in unknown.text
