"""`webhook/openapi.yaml` says what the receiver does, and the receiver does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml  # type: ignore[import-untyped]
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.integration.store.conftest import Lives
from tests.integration.webhook.conftest import Client, body, path
from webhook.errors import WORDS

DOCUMENT = yaml.safe_load((Path(__file__).parents[3] / "webhook" / "openapi.yaml").read_text())
CALLBACK = "/callbacks/{provider}/{job_id}/{attempt}/{token}"


def schema(route: str, method: str, status: int) -> dict[str, Any]:
    """The document's schema of one answer's body."""
    answer = resolved(DOCUMENT["paths"][route][method]["responses"][str(status)])
    found: dict[str, Any] = resolved(answer["content"]["application/json"]["schema"])
    return found


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        here = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            here = here[name]
        node = here
    return node


def misfits(value: Any, wanted: dict[str, Any]) -> list[str]:
    """The places where *value* breaks the schema *wanted*, for as much of JSON Schema as the document uses."""
    found = [f"{name} is missing" for name in wanted["required"] if name not in value]
    found += [f"{name} is not described" for name in value if name not in wanted["properties"]]
    for name, rule in wanted["properties"].items():
        told = value.get(name)
        if name in value and told not in rule.get("enum", [rule.get("const", told)]):
            found.append(f"{name} is {told!r}")
        if name in value and "pattern" in rule and not re.fullmatch(rule["pattern"], told):
            found.append(f"{name} is {told!r}")
    return found


def test_every_route_and_method_is_described_and_no_other(app: Flask) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).rstrip("/"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }

    described = {
        (route, method) for route, found in DOCUMENT["paths"].items() for method in found if method != "parameters"
    }

    assert described == served


def test_every_status_but_a_defect_of_ours_is_described() -> None:
    statuses = {int(status) for status in DOCUMENT["paths"][CALLBACK]["post"]["responses"]}

    assert statuses == {200, *WORDS} - {500}


@pytest.mark.parametrize(
    ("data", "options", "status"),
    [
        pytest.param(body(), {}, 200, id="stored"),
        pytest.param(body(status="processing", results=...), {}, 200, id="noted"),
        pytest.param(b"{", {}, 400, id="no JSON"),
        pytest.param(body(id="r2"), {}, 400, id="another request"),
        pytest.param(body(), {"to": path()[:-1]}, 404, id="no token"),
        pytest.param(body(), {"to": path("no-such-job")}, 404, id="no job"),
        pytest.param(b" " * 70_000, {}, 413, id="too large"),
        pytest.param(body(), {"content_type": "text/plain"}, 415, id="another type"),
    ],
)
def test_a_callback_is_answered_as_described(
    client: Client, lives: Lives, data: bytes, options: dict[str, Any], status: int
) -> None:
    lives.submitted()

    answer = client.deliver(data, **options)

    assert answer.status_code == status
    assert answer.content_type == "application/json"
    assert misfits(answer.json, schema(CALLBACK, "post", status)) == []


@pytest.mark.parametrize("route", ["/live", "/ready"])
def test_health_is_answered_as_described(client: Client, route: str) -> None:
    answer = client.ask(route)

    assert misfits(answer.json, schema(route, "get", answer.status_code)) == []
    assert misfits(client.ask(route, "DELETE").json, schema(route, "get", 405)) == []


def test_a_full_or_silent_store_is_answered_as_described(client: Client, lives: Lives) -> None:
    lives.submitting()
    for n in range(8):
        client.deliver(body(id=f"forged-{n}"))

    answer = client.deliver(body(id="r1"))

    assert misfits(answer.json, schema(CALLBACK, "post", 503)) == []


def test_schemathesis_finds_no_answer_that_is_not_described(app: Flask, lives: Lives) -> None:
    wanted = [
        *(not_a_server_error, checks.status_code_conformance, checks.content_type_conformance),
        *(checks.response_headers_conformance, checks.response_schema_conformance),
    ]
    lives.submitted()
    described = schemathesis.openapi.from_wsgi("/openapi.json", app=_with_document(app))

    for found in described.get_all_operations():
        assert isinstance(found, Ok), "an operation that cannot be read"
        operation = found.ok()
        cases = operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=cases, known=st.booleans())
        def holds(case: Any, known: bool) -> None:
            if known and "token" in (case.path_parameters or {}):
                _, _, provider, job_id, attempt, token = path().split("/")
                case.path_parameters.update(provider=provider, job_id=job_id, attempt=attempt, token=token)
            case.call_and_validate(checks=wanted)

        holds()


def _with_document(app: Flask) -> Flask:
    app.add_url_rule("/openapi.json", "openapi", lambda: DOCUMENT)
    return app
