"""The API answers as it is described, whatever it is asked: no undescribed status, field, header or type."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.integration.console.conftest import ALL, SECRETS, Lives, bearer
from worker.console.openapi.calls import CALLS
from worker.jobs.job import JobError
from worker.operations.bulk import Act, Order

CHECKS = [
    *(not_a_server_error, checks.status_code_conformance, checks.content_type_conformance),
    *(checks.response_headers_conformance, checks.response_schema_conformance),
]
JOBS = ("accepted", "submitted", "failed", "archived", "none")
EXAMPLES, FEW = 60, 3
SLOW = {("GET", "/v1/doctor")}
"""Calls that look at every server."""


@pytest.fixture
def system(app: Flask, lives: Lives) -> dict[str, list[str]]:
    """Jobs in several states, a batch and a bulk act; by the name of the parameter that names them."""
    for job_id in JOBS[:-1]:
        lives.accept(job_id)
    lives.submit("submitted")
    lives.fail("failed", JobError("submit", "moderation", "no"))
    lives.submit("archived")
    lives.close(lives.archive("archived"))
    lives.store.batches.begin("batch", ["accepted", "gone"])
    lives.store.bulks.start("b1", {**Order(Act.CANCEL, job_ids=("none",)).document(), "by": "ada"}, {"none": 1})
    result = {"job_id": "none", "outcome": "no_such_job", "words": "no", "done": False}
    lives.store.bulks.report("b1", "none", result, "not_done", 0)
    return {
        "job_id": list(JOBS),
        "provider": ["evolink", "nobody"],
        "batch_id": ["batch", "none"],
        "bulk_id": ["b1", "none"],
        "n": ["1", "2", "x"],
    }


@pytest.mark.parametrize("call", sorted(set(CALLS) - {("GET", "/openapi.json")}), ids=" ".join)
def test_no_answer_is_undescribed(app: Flask, system: dict[str, list[str]], call: tuple[str, str]) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app=app, headers=bearer())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    method, rule = call
    [operation] = [found for found in operations if (found.method.upper(), _rule(found.path)) == (method, _rule(rule))]
    cases = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    tokens = st.sampled_from([ALL, ALL, ALL, SECRETS["read"], "x" * 40])

    @settings(max_examples=FEW if call in SLOW else EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases, token=tokens, data=st.data())
    def holds(case: Any, token: str, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = data.draw(st.sampled_from(system[name]))
        case.call_and_validate(checks=CHECKS, headers=bearer(token))

    holds()


def _rule(path: str) -> str:
    """A path with its parameters alike, in Flask's words or OpenAPI's."""
    return "/".join("{}" if part[:1] in ("{", "<") else part for part in path.split("/"))
