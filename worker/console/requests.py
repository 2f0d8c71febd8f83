"""Bodies and queries, read strictly: unknown fields are refused by name, and no value is repeated."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import request

from worker.console.problems import Problem, field_error
from worker.guard.bounded_json import SPEC_BOUNDS, Bounds, UnreadableError, read_strictly
from worker.guard.text import shown_name

BODY_BYTES = 8 * 1024 * 1024


def body(*, is_needed: bool = True, bounds: Bounds = SPEC_BOUNDS) -> dict[str, Any]:
    """The request's body, a JSON object; one that is not needed may be left out."""
    data = request.get_data(cache=False)
    if not data and not is_needed:
        return {}
    if request.mimetype != "application/json":
        raise Problem(415, "unsupported_media_type", "the body must be application/json")
    try:
        return read_strictly(data, bounds)
    except UnreadableError as err:
        raise Problem(400, "body_unreadable", f"the body cannot be read: {err}") from None


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Refuse a body with other fields than *known*."""
    if wrong := _unknown(given, known):
        raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)


def fields(**types: type) -> dict[str, Any]:
    """The fields of an act's body, each of its type; all may be left out."""
    given = body(is_needed=False)
    wrong = _unknown(given, types)
    wrong += [
        field_error(name, f"must be {_WORDS[types[name]]}")
        for name, value in given.items()
        if name in types and type(value) is not types[name]
    ]
    if wrong:
        raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)
    return given


def query(*names: str, prefix: str | None = None) -> dict[str, str]:
    """The query's parameters, each given once; those that begin with *prefix* are taken, too."""
    known = [name for name in request.args if name in names or (prefix and name.startswith(prefix))]
    wrong = _unknown(request.args, [*names, *known])
    wrong += [field_error(name, "is given twice") for name in known if len(request.args.getlist(name)) > 1]
    if wrong:
        raise bad_query(wrong)
    return {name: request.args[name] for name in known}


def bad_query(wrong: list[dict[str, str]]) -> Problem:
    return Problem(400, "query_refused", "the query cannot be used; errors names each problem", wrong)


def number(given: dict[str, str], name: str, low: int, high: int) -> int | None:
    """A whole number of the query from *low* to *high*; None where it is not given."""
    if name not in given:
        return None
    text = given[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise bad_query([field_error(name, f"must be a whole number from {low} to {high}")])
    return int(text)


def flag(given: dict[str, str], name: str) -> bool:
    """A switch of the query: 1 or 0; off where it is not given."""
    if given.get(name, "0") not in ("0", "1"):
        raise bad_query([field_error(name, "must be 1 or 0")])
    return given.get(name) == "1"


def _unknown(given: Collection[str], known: Collection[str]) -> list[dict[str, str]]:
    told = ", ".join(dict.fromkeys(known)) or "none"
    return [field_error(shown_name(name), f"is not known here; known: {told}") for name in given if name not in known]


_WORDS = {str: "text", bool: "true or false", int: "a whole number"}
