"""Batches and quotes: many orders in one call, each for itself, and the price of one before it is ordered."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import Client

from tests.integration.console.conftest import ALL, Lives, Served, bearer

SPEC = {"model": "kling-3.0-turbo", "prompt": "A corgi running on the beach", "duration": 5, "resolution": "720p"}


def test_the_orders_of_a_batch_are_taken_or_refused_each_for_itself(served: Served) -> None:
    orders = [SPEC, {**SPEC, "duration": "5"}, {**SPEC, "job_id": "mine"}, "no spec", {**SPEC, "job_id": "a b"}]

    first = served.ask("POST", "/v1/batches", json={"jobs": orders}, headers={"Idempotency-Key": "may"})
    again = served.ask("POST", "/v1/batches", json={"jobs": orders}, headers={"Idempotency-Key": "may"})
    told = served.ask("GET", first.headers["Location"]).json()

    assert (first.status_code, first.headers["Location"]) == (202, "/v1/batches/may")
    assert first.json() == again.json()
    items = first.json()["jobs"]
    assert [(item["n"], item["job_id"], item["accepted"]) for item in items] == [
        (1, "may-1", True),
        (2, "may-2", False),
        (3, "mine", True),
        (4, "may-4", False),
        (5, None, False),
    ]
    assert [error["field"] for error in items[1]["problem"]["errors"]] == ["duration"]
    assert {item["problem"]["status"] for item in items if not item["accepted"]} == {400}
    assert (told["jobs"], told["states"], told["missing"]) == (3, {"accepted": 2}, 1)
    listed = served.ask("GET", "/v1/jobs?batch=may").json()["jobs"]
    assert sorted(job["job_id"] for job in listed) == ["may-1", "mine"]
    assert {job["batch"] for job in listed} == {"may"}


def test_500_orders_are_one_batch_and_501_are_refused(served: Served) -> None:
    orders = [{**SPEC, "prompt": f"Corgi {n}"} for n in range(500)]

    many = served.ask("POST", "/v1/batches", json={"jobs": orders})
    too_many = served.ask("POST", "/v1/batches", json={"jobs": [*orders, SPEC]})

    assert many.status_code == 202
    assert {item["accepted"] for item in many.json()["jobs"]} == {True}
    assert served.ask("GET", many.headers["Location"]).json()["states"] == {"accepted": 500}
    assert (too_many.status_code, too_many.json()["errors"][0]["field"]) == (400, "jobs")


@pytest.mark.parametrize("body", [{}, {"jobs": []}, {"jobs": {}}, {"jobs": [SPEC], "batch": "x"}])
def test_a_body_that_is_no_batch_is_refused(client: Client, body: dict[str, Any]) -> None:
    answer = client.post("/v1/batches", json=body, headers=bearer())

    assert answer.status_code == 400


@pytest.mark.parametrize("key", ["a b", "x" * 60, ""])
def test_a_batch_id_that_cannot_name_jobs_is_refused(client: Client, key: str) -> None:
    answer = client.post("/v1/batches", json={"jobs": [SPEC]}, headers={**bearer(), "Idempotency-Key": key})

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "Idempotency-Key")  # type: ignore[index]


def test_a_batch_that_is_not_there_is_a_404(client: Client) -> None:
    assert client.get("/v1/batches/none", headers=bearer()).status_code == 404


def test_a_quote_names_who_would_make_it_at_what_cost_and_records_nothing(client: Client, lives: Lives) -> None:
    told = client.post("/v1/quotes", json=SPEC, headers=bearer()).json

    assert told is not None
    assert (told["provider"], told["cost"]["basis"], told["seconds"]) == ("gmicloud", "list_price", 5)
    assert (told["problems"], told["eta"], told["waits_for"]) == ([], None, "worker")
    assert lives.store.lists.newest(frozenset({"accepted"})) == []  # type: ignore[arg-type]


def test_a_quote_knows_how_long_the_model_takes_and_that_its_provider_is_paused(client: Client, lives: Lives) -> None:
    model = client.post("/v1/quotes", json=SPEC, headers=bearer()).json["model"]  # type: ignore[index]
    for _ in range(5):
        lives.store.durations.learn("gmicloud", model, 60.0, "5/720p")
    timed = client.post("/v1/quotes", json=SPEC, headers=bearer()).json
    lives.store.pauses.pause("gmicloud")

    held = client.post("/v1/quotes", json=SPEC, headers=bearer()).json

    assert set(timed["eta"]) == {"p50_at", "p90_at"}  # type: ignore[index]
    assert (held["eta"], held["waits_for"]) == (None, "paused")  # type: ignore[index]


def test_a_quote_tells_all_problems_and_those_of_its_terms(client: Client) -> None:
    bad = client.post("/v1/quotes", json={**SPEC, "duration": 99, "nonsense": 1}, headers=bearer()).json
    dear = client.post("/v1/quotes", json={**SPEC, "max_cost": 0.01}, headers=bearer()).json

    assert bad is not None
    assert dear is not None
    assert {error["field"] for error in bad["problems"]} == {"duration", "nonsense"}
    assert (bad["provider"], bad["cost"]) == (None, None)
    assert ([error["field"] for error in dear["problems"]], dear["provider"]) == (["duration"], "gmicloud")


def test_a_video_is_downloaded_under_the_name_of_its_job(client: Client, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.archive("j1")

    shown = client.get("/v1/jobs/j1/videos/1", headers=bearer()).headers["Location"]
    saved = client.get("/v1/jobs/j1/videos/1?download=1", headers=bearer()).headers["Location"]

    assert "response-content-disposition" not in shown
    assert "response-content-disposition=attachment%3B%20filename%3D%22j1-1.mp4%22" in saved


def test_metrics_are_for_tokens_that_read(client: Client) -> None:
    told = client.get("/metrics", headers=bearer(ALL))

    assert (told.status_code, client.get("/metrics").status_code) == (200, 401)
    assert "# TYPE callsheet_jobs gauge" in told.text


def test_metrics_are_open_where_the_operator_says_so(environment: dict[str, str]) -> None:
    from worker.console.app import create_app
    from worker.operations.view import Reader
    from worker.services import Services
    from worker.settings.settings import Settings

    env = {**environment, "CALLSHEET_METRICS_OPEN": "true"}
    app = create_app(reader=Reader.from_env(env), services=Services.from_settings(Settings.from_env(env)), env=env)

    assert app.test_client().get("/metrics").status_code == 200
    assert app.test_client().get("/v1/models").status_code == 401
