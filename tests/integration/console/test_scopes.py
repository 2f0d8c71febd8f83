"""Every scope against every call."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from werkzeug.test import Client

from tests.integration.console.conftest import SECRETS, bearer
from worker.settings.tokens import SCOPES

CALLS = {
    ("POST", "/v1/jobs"): "submit",
    ("GET", "/v1/jobs"): "read",
    ("GET", "/v1/jobs/j1"): "read",
    ("GET", "/v1/jobs/j1/timeline"): "read",
    ("GET", "/v1/jobs/j1/notifications"): "read",
    ("GET", "/v1/jobs/j1/arrivals"): "read",
    ("GET", "/v1/jobs/j1/videos/1"): "prompts",
    ("POST", "/v1/jobs/j1/cancel"): "operate",
    ("POST", "/v1/jobs/j1/retry"): "operate",
    ("POST", "/v1/jobs/j1/replay"): "operate",
    ("POST", "/v1/jobs/j1/renotify"): "operate",
    ("POST", "/v1/jobs/j1/ask"): "operate",
    ("POST", "/v1/batches"): "submit",
    ("GET", "/v1/batches/none"): "read",
    ("POST", "/v1/quotes"): "submit",
    ("POST", "/v1/bulk"): "operate",
    ("GET", "/v1/bulk"): "read",
    ("GET", "/v1/bulk/none"): "read",
    ("DELETE", "/v1/bulk/none"): "operate",
    ("GET", "/openapi.json"): None,
    ("GET", "/metrics"): "read",
    ("GET", "/v1/providers"): "read",
    ("POST", "/v1/providers/none/pause"): "operate",
    ("POST", "/v1/providers/none/resume"): "operate",
    ("GET", "/v1/models"): "read",
    ("GET", "/v1/costs"): "read",
    ("GET", "/v1/doctor"): "read",
}


def test_the_table_has_every_call(app: Flask) -> None:
    served = {
        (
            method,
            re.sub(r"<(?:int:)?n>", "1", rule.rule)
            .replace("<job_id>", "j1")
            .replace("<provider>", "none")
            .replace("<batch_id>", "none")
            .replace("<bulk_id>", "none"),
        )
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "is_page")  # test_pages.py
        for method in (rule.methods or set()) - {"HEAD"}
    }

    assert served == {*CALLS, ("GET", "/live"), ("GET", "/ready")}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_of_one_scope_is_refused_all_else_by_name(client: Client, scope: str) -> None:
    for (method, path), wanted in CALLS.items():
        answer = client.open(path, method=method, headers=bearer(SECRETS[scope]))

        if wanted in (None, scope):
            assert answer.status_code not in (401, 403), path
        else:
            assert (answer.status_code, answer.content_type) == (403, "application/problem+json"), path
            assert wanted in answer.json["detail"]  # type: ignore[index]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {'x' * 32}", f"Basic {SECRETS['read']}", f"Bearer {SECRETS['read']}x"],
)
def test_without_a_known_token_nothing_is_served(client: Client, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    asked = [*CALLS, ("GET", "/v1/nowhere"), ("GET", "/nowhere"), ("DELETE", "/v1/jobs")]

    answers = [client.open(path, method=method, headers=headers) for method, path in asked]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}


@pytest.mark.parametrize("path", ["/live", "/ready"])
def test_health_needs_no_token(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_paying_again_needs_its_own_scope(client: Client) -> None:
    answer = client.post("/v1/jobs/j1/retry", json={"pay_again": True}, headers=bearer(SECRETS["operate"]))

    assert (answer.status_code, "pay" in answer.json["detail"]) == (403, True)  # type: ignore[index]
