"""Under which names a record's fields are kept.

A name would take more room than most values do. So a field that most records
bear is kept by its place in this list, from 1 on; one that is read without the
rest of its record, and one that few records bear, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

NUMBERED = (
    *("ver", "attempt", "spec_sha256", "model", "cost", "path", "accepted_at", "fence", "try_no", "intent_no"),
    *("begun_at", "submitted_at", "request_id.1", "usage", "polls", "failures", "progress", "waiting_for"),
)
"""For ever: new ones stand at the end."""

_NUMBERS = {name: str(place) for place, name in enumerate(NUMBERED, start=1)}
_NAMES = {number: name for name, number in _NUMBERS.items()}

LUA = f"local NUMBERED = {{{', '.join(map(repr, NUMBERED))}}}\n"
"""The list for the scripts."""


def kept_as(name: str) -> str:
    """What the field is called in Redis."""
    return _NUMBERS.get(name, name)


def named(kept: Mapping[str, str]) -> dict[str, str]:
    """A record as Redis has it, under its fields' own names."""
    return {_NAMES.get(name, name): value for name, value in kept.items()}
