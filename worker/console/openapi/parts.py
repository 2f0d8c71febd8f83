"""The parts that calls of the API's description are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.console.openapi.words import TEXT, WHOLE, Schema, one_of, record, ref

Part = dict[str, Any]


def _problem(words: str, headers: Mapping[str, Any] | None = None) -> Part:
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": words, "content": content, **({"headers": dict(headers)} if headers else {})}


OF_EVERY_CALL: Part = {
    "400": _problem("A field of body, query or header cannot be used; errors names each"),
    "401": _problem("The token is not known", {"WWW-Authenticate": {"schema": TEXT}}),
    "403": _problem("The token lacks the scope"),
    "503": _problem("Redis or S3 does not answer", {"Retry-After": {"schema": WHOLE}}),
}
OF_A_BODY: Part = {
    "413": _problem("The body is over 8 MiB"),
    "415": _problem("The body is not application/json"),
}
NOT_FOUND: Part = {"404": _problem("There is none of that name")}


def REFUSED(*statuses: str) -> Part:  # noqa: N802  reads as the tables do
    """Refusals by the state of things."""
    return {status: _problem("The request contradicts what there is") for status in statuses}


def json_answer(schema: Schema, words: str, headers: Mapping[str, Any] | None = None) -> Part:
    """A JSON answer."""
    told: Part = {"description": words, "content": {"application/json": {"schema": schema}}}
    return {**told, "headers": dict(headers)} if headers else told


def location() -> Part:
    return {"Location": {"schema": TEXT, "required": True}}


def query(name: str, schema: Schema, words: str = "") -> Part:
    """A parameter of the query that may be left out."""
    return {"name": name, "in": "query", "schema": schema, **({"description": words} if words else {})}


def header(name: str, words: str) -> Part:
    return {"name": name, "in": "header", "schema": TEXT, "description": words}


def body(schema: Schema, *, is_needed: bool = True) -> Part:
    """A JSON body."""
    return {"required": is_needed, "content": {"application/json": {"schema": schema}}}


def call(
    words: str,
    *by_status: Part,
    parameters: Sequence[Part] = (),
    request: Part | None = None,
    is_open: bool = False,
) -> Part:
    """One call: its answers beside those of every call, and what it takes."""
    responses: Part = {} if is_open else dict(OF_EVERY_CALL)
    if request is not None:
        responses |= OF_A_BODY
    for found in by_status:
        responses |= found
    told: Part = {"summary": words, "responses": dict(sorted(responses.items()))}
    if parameters:
        told["parameters"] = list(parameters)
    if request is not None:
        told["requestBody"] = request
    return told


def act(words: str, **fields: Schema) -> Part:
    """An act on a job, with its preview."""
    return call(
        words,
        {"200": json_answer(ref("Outcome"), "What was done, or why not, and what it costs")},
        NOT_FOUND,
        REFUSED("409"),
        parameters=[query("preview", one_of("01"), "1: tells the same and does nothing")],
        request=body(record({}, {"reason": TEXT, **fields}), is_needed=False),
    )
