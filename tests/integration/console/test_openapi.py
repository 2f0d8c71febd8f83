"""The API's description and the API have the same calls; a notification is as its webhook says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from flask import Flask
from werkzeug.test import Client

from tests.integration.console.conftest import SECRETS, Lives, bearer
from worker.console.openapi.calls import CALLS
from worker.jobs.job import JobError
from worker.notifications.payload import content_of


def described(client: Client) -> dict[str, Any]:
    answer = client.get("/openapi.json", headers=bearer(SECRETS["submit"]))
    assert answer.status_code == 200
    assert isinstance(answer.json, dict)
    return answer.json


def test_every_call_is_described_and_every_described_one_is_served(app: Flask) -> None:
    served = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if not getattr(app.view_functions[rule.endpoint], "is_page", False)
    }

    assert served == set(CALLS)


def test_the_description_has_each_call_once_with_the_scope_of_the_code(client: Client) -> None:
    calls = [
        call for path in described(client)["paths"].values() for name, call in path.items() if name != "parameters"
    ]

    assert len(calls) == len(CALLS)
    assert len({call["operationId"] for call in calls}) == len(calls)
    scopes = [scope for call in calls for asked in call["security"] for scope in asked["token"]]
    assert set(scopes) == set(SECRETS) - {"pay"}


def test_every_reference_leads_somewhere(client: Client) -> None:
    document = described(client)

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if "$ref" in node else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    names = {name.removeprefix("#/components/schemas/") for name in references(document)}
    assert names - set(document["components"]["schemas"]) == set()
    assert set(document["components"]["schemas"]) - names == set()


def test_a_notification_is_as_its_webhook_is_described(client: Client, lives: Lives) -> None:
    document = described(client)
    lives.accept("failed")
    lives.fail("failed", JobError("submit", "moderation", "no"))
    lives.accept("made")
    lives.submit("made")
    lives.archive("made")
    webhook = document["webhooks"]["notification"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    validator = jsonschema_rs.validator_for({**webhook, "components": document["components"]})
    jobs = [job for job_id in ("failed", "made") if (job := lives.store.jobs.get(job_id)) is not None]

    assert len(jobs) == 2
    for job in jobs:
        content = json.loads(content_of(job, '{"metadata": {"order": 7}}'))
        assert [error.message for error in validator.iter_errors(content)] == []
        assert not validator.is_valid({**content, "mood": "good"})
