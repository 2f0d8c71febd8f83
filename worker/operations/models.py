"""The models of the catalogue, as they are told to people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from worker.providers.base import Provider
from worker.providers.field import Field
from worker.providers.model import ModelRules


def all_models(providers: Mapping[str, Provider]) -> Iterator[ModelRules]:
    """The models of the configured providers, in order of preference."""
    for provider in providers.values():
        yield from provider.models.values()


def document(rules: ModelRules) -> dict[str, Any]:
    """One model: its names, what it takes, its limits and its price."""
    return {
        "provider": rules.provider,
        "model": rules.name,
        "wire_id": rules.wire_id,
        "answers_to": dict(rules.answers_to),
        "source": rules.source,
        "read": rules.read.isoformat() if rules.read else None,
        "fields": {name: _field(rules.fields[name]) if name in rules.fields else {} for name in rules.taken},
        "extra": {name: _field(field) for name, field in rules.extra.items()},
        "required": [list(group) for group in rules.required],
        "one_of": [list(group) for group in rules.one_of],
        "prices": [
            {
                "usd": str(price.usd),
                "per": price.per,
                "resolution": price.resolution,
                "sound": price.sound,
                "mode": price.mode,
                "source": price.source,
                "read": price.read.isoformat() if price.read else None,
            }
            for price in rules.prices
        ],
        "configured_prices": {name: str(price) for name, price in rules.configured_prices.items()},
        "currency": rules.currency,
    }


def _field(field: Field) -> dict[str, Any]:
    """One field: its place and type on the wire, and those limits that it has."""
    told: dict[str, Any] = {
        "wire": field.wire.text,
        "type": str(field.type),
        "values": list(field.values),
        "range": list(field.range or ()),
        "characters": field.characters,
        "items": list(field.items or ()),
        "default": field.default,
        "not_with": list(field.not_with),
        "only_with": list(field.only_with),
    }
    return {name: value for name, value in told.items() if value not in (None, [])}


COLUMNS = ("provider", "model", "also asked for as", "takes (needed in bold)", "limits", "price")


def row(rules: ModelRules) -> tuple[str, ...]:
    """One model in words, by `COLUMNS`; needed fields between `**`, alternatives with a `*`."""
    return (
        rules.provider,
        rules.name,
        ", ".join(rules.answers_to),
        ", ".join(_taken(rules)),
        "; ".join(_limits(rules)),
        ", ".join(price.in_words() for price in rules.prices) or "unknown",
    )


def _taken(rules: ModelRules) -> Iterable[str]:
    needed = {name for group in rules.required if len(group) == 1 for name in group}
    either = {name for group in rules.required if len(group) > 1 for name in group}
    for name in rules.taken:
        yield f"**{name}**" if name in needed else f"{name}*" if name in either else name
    if either:
        yield f"(*one of {', '.join(sorted(either))})"
    if rules.extra:
        yield f"extra: {', '.join(rules.extra)}"


def _limits(rules: ModelRules) -> Iterable[str]:
    for name, field in rules.fields.items():
        if name == "duration":
            yield f"{field.limits()} s"
        elif field.limits():
            yield f"{name} {field.limits()}"
        if field.characters:
            yield f"{name} {field.characters} characters"
        if field.items:
            yield f"{name} {field.items[0]} to {field.items[1]}"
        if field.not_with:
            yield f"{name} not with {', '.join(field.not_with)}"
        if field.only_with:
            yield f"{name} only with {' or '.join(field.only_with)}"
    yield from (f"only one of {', '.join(group)}" for group in rules.one_of)
