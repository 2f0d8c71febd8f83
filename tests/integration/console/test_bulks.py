"""Bulk acts over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

from tests.integration.console.conftest import SECRETS, Lives, bearer
from worker.jobs.states import JobState
from worker.operations import bulk_work
from worker.services import Services
from worker.settings.settings import Settings


def post(client: Client, **body: Any) -> Any:
    return client.post("/v1/bulk", json=body, headers=bearer())


def test_a_bulk_act_is_previewed_started_followed_and_stopped(
    client: Client, lives: Lives, api_environment: dict[str, str]
) -> None:
    for job_id in ("a", "b", "c"):
        lives.accept(job_id)
    services = Services.from_settings(Settings.from_env(api_environment))

    told = post(client, act="cancel", filter={"state": ["accepted"]}, preview=True)
    begun = post(client, act="cancel", filter=told.json["filter"], reason="a wrong price")
    other = post(client, act="cancel", jobs=["a", "b"])
    stopped = client.delete(other.headers["Location"], headers=bearer())
    bulk_work.work(services, 60)
    done: Any = client.get(f"{begun.headers['Location']}?limit=2", headers=bearer()).json
    rest: Any = client.get(f"{begun.headers['Location']}?limit=2&cursor={done['next']}", headers=bearer()).json
    listed: Any = client.get("/v1/bulk", headers=bearer()).json

    assert (told.status_code, told.json["jobs"], told.json["filter"]["state"]) == (200, 3, ["accepted"])
    assert (begun.status_code, begun.json["state"], begun.json["by"]) == (202, "working", "all")
    assert (stopped.json["state"], stopped.json["left"]) == ("stopped", 2)  # type: ignore[index]
    assert (done["state"], done["done"], done["reason"]) == ("done", 3, "a wrong price")
    assert sorted(one["job_id"] for one in done["results"] + rest["results"]) == ["a", "b", "c"]
    assert rest["next"] is None
    states = {begun.json["bulk"]: "done", other.json["bulk"]: "stopped"}
    assert {one["bulk"]: one["state"] for one in listed["bulks"]} == states
    assert lives.store.jobs.get("a").state is JobState.CANCELLED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"act", "filter"}),
        ({"act": "delete", "filter": {"state": "failed"}}, {"act"}),
        ({"act": ["cancel"], "jobs": ["a"]}, {"act"}),
        ({"act": "cancel", "filter": {}}, {"filter"}),
        ({"act": "cancel", "filter": {"state": "failed"}, "jobs": ["a"]}, {"filter"}),
        (
            {"act": "cancel", "filter": {"nonsense": 1, "state": [1], "open": "maybe"}},
            {"filter.nonsense", "filter.state", "filter.open"},
        ),
        (
            {"act": "cancel", "filter": {"waits_for": ["budget"], "since": 5, "metadata": {"a": 1}}},
            {"filter.waits_for", "filter.since", "filter.metadata"},
        ),
        ({"act": "cancel", "jobs": []}, {"jobs"}),
        ({"act": "cancel", "jobs": [1]}, {"jobs"}),
        ({"act": "cancel", "jobs": ["a"], "pay_again": True}, {"pay_again"}),
        ({"act": "cancel", "jobs": ["a"], "preview": 1}, {"preview"}),
        ({"act": "cancel", "jobs": ["a"], "why": "x"}, {"why"}),
    ],
)
def test_a_bulk_act_that_cannot_be_meant_is_refused_by_name(
    client: Client, lives: Lives, body: dict[str, Any], fields: set[str]
) -> None:
    answer = post(client, **body)

    assert (answer.status_code, {error["field"] for error in answer.json["errors"]}) == (400, fields)
    assert lives.store.bulks.all() == []


def test_paying_many_again_needs_its_own_scope(app: Flask) -> None:
    body = {"act": "retry", "jobs": ["a"], "pay_again": True, "preview": True}

    answer = app.test_client().post("/v1/bulk", json=body, headers=bearer(SECRETS["operate"]))

    assert (answer.status_code, "pay" in answer.json["detail"]) == (403, True)  # type: ignore[index]
