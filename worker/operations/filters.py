"""The filter of a list as data: as a query, a bulk act and a command line give it, and as it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.errors import CallsheetError
from worker.guard.text import shown_name
from worker.jobs.durations import iso
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.search import Filter

TEXTS = ("provider", "model", "tenant", "batch", "error_code")
FLAGS = {
    "open": "is_open",
    "differs": "differs",
    "stuck": "stuck",
    "dead_notification": "dead_notification",
}
"""Names of switches, and the fields of `Filter` that they are."""
INSTANTS = ("since", "until")
NAMES = ("state", *TEXTS, *FLAGS, *INSTANTS, "waits_for", "metadata")


class FilterError(CallsheetError):
    """A filter that cannot be used; `problems` names each bad condition and says why."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in problems))
        self.problems = tuple(problems)


def read_filter(given: Mapping[str, Any]) -> Filter:
    """The filter that *given* describes; raises `FilterError` with every problem.

    States are a list or text with commas, switches true or false (or that as text), instants RFC 3339, `metadata` an
    object of texts. Names and values are those of `document`.
    """
    wrong = [(shown_name(name), f"is not known here; known: {', '.join(NAMES)}") for name in given if name not in NAMES]
    states = _states(given, wrong)
    fields: dict[str, Any] = {name: _text(given, name, wrong) for name in TEXTS}
    fields |= {field: _flag(given, name, wrong) for name, field in FLAGS.items()}
    fields |= {name: _instant(given, name, wrong) for name in INSTANTS}
    waits_for = given.get("waits_for")
    if waits_for is not None and not (isinstance(waits_for, str) and waits_for in set(WaitCode)):
        wrong.append(("waits_for", f"must be one of {', '.join(WaitCode)}"))
    metadata = given.get("metadata") or {}
    if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
        wrong.append(("metadata", "must be an object of texts, such as order: 1007"))
    if wrong:
        raise FilterError(wrong)
    fields |= {field: bool(fields[field]) for field in FLAGS.values() if field != "is_open"}
    return Filter(
        states=states,
        metadata=tuple(sorted(metadata.items())),
        waits_for=None if waits_for is None else WaitCode(waits_for),
        **fields,
    )


def document(wanted: Filter) -> dict[str, Any]:
    """*wanted* as data: its conditions alone."""
    told: dict[str, Any] = {"state": sorted(map(str, wanted.states))}
    told |= {name: getattr(wanted, name) for name in TEXTS}
    told |= {name: getattr(wanted, field) for name, field in FLAGS.items()}
    told["waits_for"] = str(wanted.waits_for) if wanted.waits_for else None
    told["metadata"] = dict(wanted.metadata)
    told |= {name: iso(at) for name in INSTANTS if (at := getattr(wanted, name)) is not None}
    is_open = {"open": wanted.is_open} if wanted.is_open is not None else {}
    return {name: value for name, value in told.items() if value} | is_open


Problems = list[tuple[str, str]]


def _states(given: Mapping[str, Any], wrong: Problems) -> frozenset[JobState]:
    words = given.get("state") or []
    if isinstance(words, str):
        words = [word for word in words.split(",") if word]
    if not isinstance(words, list) or not all(isinstance(word, str) and word in set(JobState) for word in words):
        wrong.append(("state", f"must be of {', '.join(JobState)}, comma-separated"))
        return frozenset()
    return frozenset(map(JobState, words))


def _text(given: Mapping[str, Any], name: str, wrong: Problems) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    wrong.append((name, "must be text"))
    return None


def _flag(given: Mapping[str, Any], name: str, wrong: Problems) -> bool | None:
    value = given.get(name)
    if value is None or isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        wrong.append((name, "must be true or false"))
    return bool(value == "true")


def _instant(given: Mapping[str, Any], name: str, wrong: Problems) -> int | None:
    """Unix ms of an RFC 3339 instant."""
    value = given.get(name)
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return max(0, round(at.timestamp() * 1000))
    except (TypeError, ValueError, OverflowError):
        pass
    wrong.append((name, "must be an instant with its offset, such as 2026-12-01T08:00:00Z"))
    return None
