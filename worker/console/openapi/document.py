"""The API's own description, OpenAPI 3.1: put together from the routes that are served and what is said of each."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Flask, Response, current_app

from worker.console import auth
from worker.console.jobs import answer
from worker.console.openapi.calls import CALLS
from worker.console.openapi.schemas import components
from worker.console.openapi.words import INSTANT, TEXT, one_of, record, ref
from worker.console.requests import query
from worker.jobs.states import FINAL

PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
OPEN = "served without a token"
NOTIFICATION: dict[str, Any] = {
    "post": {
        "summary": "A job has ended, or ended otherwise than was told before",
        "description": "Signed to Standard Webhooks; one webhook-id over all tries. A job's highest `ver` counts.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": TEXT}
            for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": record(
                        {
                            "type": one_of(f"job.{state}" for state in sorted(FINAL)),
                            "timestamp": INSTANT,
                            "data": ref("Result"),
                        }
                    )
                }
            },
        },
        "responses": {
            "2XX": {"description": "Taken"},
            "410": {"description": "Send this one no more"},
            "429": {"description": "Later; Retry-After is heeded"},
            "503": {"description": "Later; Retry-After is heeded"},
        },
    }
}


def blueprint() -> Blueprint:
    """`/openapi.json`, for every token."""
    bp = Blueprint("openapi", __name__)

    @auth.call(bp, "GET", "/openapi.json", None)
    def describe() -> Response:
        query()
        return answer(document(current_app))

    return bp


def document(app: Flask) -> dict[str, Any]:
    """The description of all calls of *app* that `CALLS` says something of; pages are no calls."""
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            said = CALLS.get((method, rule.rule))
            if said is not None:
                path = PARAMETER.sub(r"{\2}", rule.rule)
                paths.setdefault(path, {"parameters": _parameters(rule.rule)})[method.lower()] = _call(app, rule, said)
    for described in paths.values():
        if not described["parameters"]:
            del described["parameters"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Callsheet",
            "version": "1",
            "description": "Orders, lists and acts on jobs. Private: every call needs a token of CALLSHEET_API_TOKENS.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "webhooks": {"notification": NOTIFICATION},
        "components": {
            "schemas": components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _parameters(rule: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0} if kind else TEXT}
        for kind, name in PARAMETER.findall(rule)
    ]


def _call(app: Flask, rule: Any, said: dict[str, Any]) -> dict[str, Any]:
    """The description of a call, with its name and the scope that the code asks for."""
    view = app.view_functions[rule.endpoint]
    told = {"operationId": rule.endpoint.replace(".", "_"), **said}
    if rule.endpoint in auth.OPEN:
        return {**told, "security": [], "description": OPEN}
    scope = getattr(view, "scope", None)
    return {
        **told,
        "security": [{"token": [scope] if scope else []}],
        "description": f"for tokens of the scope {scope}" if scope else "for every token",
    }
