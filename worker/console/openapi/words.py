"""The words of a JSON Schema, shortly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
INSTANT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, with milliseconds"}
AMOUNT: Schema = {"type": "string", "pattern": "^-?[0-9]+([.][0-9]+)?$", "description": "a decimal number as text"}
DATA: Schema = {"type": "object", "additionalProperties": True}


def ref(name: str) -> Schema:
    """The schema of that name among the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def optional(schema: Schema) -> Schema:
    """*schema*, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(words: Iterable[Any]) -> Schema:
    """One of *words*."""
    return {"type": "string", "enum": [str(word) for word in words]}


def listing(schema: Schema, **limits: int) -> Schema:
    """A list of what *schema* describes."""
    return {"type": "array", "items": schema, **limits}


def counts() -> Schema:
    """Names with how many of each."""
    return {"type": "object", "additionalProperties": WHOLE}


def record(required: Mapping[str, Schema], may_have: Mapping[str, Schema] | None = None, words: str = "") -> Schema:
    """An object of exactly these fields; those of *may_have* may be left out."""
    schema: Schema = {
        "type": "object",
        "properties": {**required, **(may_have or {})},
        "required": list(required),
        "additionalProperties": False,
    }
    return {**schema, "description": words} if words else schema
