"""The findings of the doctor's checks, and their run side by side, each in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue

from worker.errors import CallsheetError


class Mark(StrEnum):
    """The gravity of a finding: FAIL for what is broken, WARN for what needs somebody's eyes."""

    OK = "ok"
    DONE = "done"  # mended
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was seen, and what to do about it."""

    mark: Mark
    what: str
    seen: str
    advice: str = ""


def ok(what: str, seen: str) -> Finding:
    return Finding(Mark.OK, what, seen)


def done(what: str, seen: str) -> Finding:
    return Finding(Mark.DONE, what, seen)


def warn(what: str, seen: str, advice: str) -> Finding:
    return Finding(Mark.WARN, what, seen, advice)


def fail(what: str, seen: str, advice: str) -> Finding:
    return Finding(Mark.FAIL, what, seen, advice)


@dataclass(frozen=True)
class Check:
    """A look at one part of the system; `advice` is for when it raises or does not end in time."""

    what: str
    look: Callable[[], Iterable[Finding]]
    advice: str
    limit_seconds: float = 20.0


def side_by_side(checks: Sequence[Check]) -> Iterator[Finding]:
    """Run *checks* side by side; their findings in their order, one that does not end within its limit given up."""
    began = time.monotonic()
    examinations = [(check, _begin(check)) for check in checks]
    for check, found in examinations:
        yield from _until(found, check, began + check.limit_seconds)


def _begin(check: Check) -> SimpleQueue[Finding | None]:
    found: SimpleQueue[Finding | None] = SimpleQueue()
    threading.Thread(target=_look, args=(check, found), name=f"doctor {check.what}", daemon=True).start()
    return found


def _look(check: Check, found: SimpleQueue[Finding | None]) -> None:
    try:
        for finding in looked(check):
            found.put(finding)
    finally:
        found.put(None)


def looked(check: Check) -> Iterator[Finding]:
    """Run *check*; an error is a finding, too, so that one broken check hides no other."""
    try:
        yield from check.look()
    except CallsheetError as err:
        yield fail(check.what, str(err), check.advice)
    except Exception as err:  # noqa: BLE001 - a library's own error, whose text may hold a password
        yield fail(check.what, f"does not answer ({type(err.__cause__ or err).__name__})", check.advice)


def _until(found: SimpleQueue[Finding | None], check: Check, deadline: float) -> Iterator[Finding]:
    while True:
        try:
            finding = found.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            yield fail(check.what, f"no answer within {check.limit_seconds:g} s", check.advice)
            return
        if finding is None:
            return
        yield finding
