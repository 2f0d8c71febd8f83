"""A provider's own description of a model, compared with the catalogue's: names, allowed values, ranges.

No page fixes the form of these answers; what is read is JSON Schema's `properties`, or a list of parameters with names,
wherever in the answer it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.guard.text import clean
from worker.providers.field import Field
from worker.providers.model import ModelRules

DEPTH = 6
FIELDS = 200
VALUES = 100
NAME_CHARACTERS = 60
LISTS = ("parameters", "params", "fields", "inputs", "properties")
NAMES = ("name", "key", "field", "param", "parameter")
OWN = frozenset({"model", "payload", "webhook", "callback_url", "language"})
"""Names that are not a model's own: an adapter sets them."""


@dataclass(frozen=True)
class Described:
    """One field as the provider describes it; None: it says nothing of that."""

    values: tuple[Any, ...] | None = None
    least: float | None = None
    greatest: float | None = None


def described(document: Any, depth: int = DEPTH) -> dict[str, Described]:
    """The fields that an answer describes, by name; empty where none can be read."""
    found: dict[str, Described] = {}
    for name, entry in _entries(document, depth):
        known = clean(name, NAME_CHARACTERS)
        if known and len(found) < FIELDS:
            found.setdefault(known, _described(entry))
    return found


def differences(rules: ModelRules, theirs: Mapping[str, Described]) -> list[str]:
    """The differences of the catalogue from the provider's description; fields that it lacks come last."""
    ours = {field.wire.steps[0].name: (field.wire.text, field) for field in rules.fields.values()}
    ours |= {field.wire.steps[0].name: (field.wire.text, field) for field in rules.extra.values()}
    told = [f"{path}: is not in its schema" for name, (path, _) in ours.items() if name not in theirs]
    for name, (path, field) in ours.items():
        if name in theirs and len(field.wire.steps) == 1:
            told += [f"{path}: {words}" for words in _differences(field, theirs[name])]
    lacking = sorted(set(theirs) - set(ours) - OWN - {path.steps[0].name for path in rules.constants})
    return [*told, *([f"the catalogue lacks {', '.join(lacking)}"] if lacking else [])]


def _differences(field: Field, theirs: Described) -> Iterator[str]:
    values = [str(field.encoded(value)) for value in field.values]
    allowed = None if theirs.values is None else [str(value) for value in theirs.values]
    if values and allowed is not None:
        if beyond := [value for value in values if value not in allowed]:
            yield f"the catalogue takes {', '.join(beyond)}, its schema does not"
        if missing := [value for value in allowed if value not in values]:
            yield f"its schema takes {', '.join(missing)} too"
    for word, ours, limit in (
        ("least", field.range and field.range[0], theirs.least),
        ("greatest", field.range and field.range[1], theirs.greatest),
    ):
        if ours is not None and limit is not None and ours != limit:
            yield f"the {word} value is {ours:g} here and {limit:g} in its schema"


def _entries(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Names and descriptions, from every place that can hold them."""
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value[:FIELDS]:
            yield from _entries(item, depth - 1)
    if not isinstance(value, Mapping):
        return
    for key in LISTS:
        held = value.get(key)
        if isinstance(held, Mapping) and all(isinstance(entry, Mapping) for entry in held.values()):
            for name, entry in held.items():
                yield str(name), entry
                if isinstance(entry.get("properties"), Mapping) and name in OWN:
                    yield from _entries(entry, depth - 1)
        elif isinstance(held, list):
            for entry in held[:FIELDS]:
                yield from _named(entry)
    for key, inner in value.items():
        if key not in LISTS:
            yield from _entries(inner, depth - 1)


def _named(entry: Any) -> Iterator[tuple[str, Any]]:
    """One parameter of a list, where it has a name."""
    names = [entry[key] for key in NAMES if isinstance(entry.get(key), str)] if isinstance(entry, Mapping) else []
    yield from ((name, entry) for name in names[:1])


def _described(entry: Any) -> Described:
    if not isinstance(entry, Mapping):
        return Described()
    lists = (entry[key] for key in ("enum", "options", "values", "choices") if isinstance(entry.get(key), list))
    values = next(lists, None)
    plain = None if values is None else tuple(_plain(value) for value in values[:VALUES])
    return Described(plain, _number(entry, "minimum", "min"), _number(entry, "maximum", "max"))


def _plain(value: Any) -> str:
    """An allowed value, also where it stands in an object beside its label."""
    if isinstance(value, Mapping):
        value = value.get("value", "")
    return clean(str(value), NAME_CHARACTERS)


def _number(entry: Mapping[str, Any], *names: str) -> float | None:
    found = next((entry[name] for name in names if name in entry), None)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
