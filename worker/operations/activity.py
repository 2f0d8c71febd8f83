"""The activity log: who did what, to what, and why; the same whether by command line, API or page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec

from worker.errors import StoreError
from worker.guard.text import printable
from worker.jobs.actor import Actor, given_by
from worker.jobs.durations import iso
from worker.operations.outcome import Outcome
from worker.store import Store

log = logging.getLogger(__name__)
P = ParamSpec("P")

WORDS_CHARACTERS = 200


@dataclass(frozen=True)
class Activity:
    """One act of an operator. `at` is Unix ms; `subject` is a job, a provider, or some words."""

    at: int
    by: str
    act: str
    subject: str
    outcome: str
    reason: str = ""

    def document(self) -> dict[str, Any]:
        """The act for a program."""
        return {"at": iso(self.at), **{name: value for name, value in vars(self).items() if name != "at"}}


def logged(act: str) -> Callable[[Callable[P, Outcome]], Callable[P, Outcome]]:
    """Have each outcome of a function recorded as *act* of its argument *by*, unless it is a preview."""

    def wrap(do: Callable[P, Outcome]) -> Callable[P, Outcome]:
        names = signature(do)

        @wraps(do)
        def done(*args: P.args, **kwargs: P.kwargs) -> Outcome:
            outcome = do(*args, **kwargs)
            if not outcome.is_preview:
                given = names.bind(*args, **kwargs).arguments
                record(given["services"].store, given.get("by"), act, outcome.job_id, outcome.code)
            return outcome

        return done

    return wrap


def record(store: Store, by: Actor | None, act: str, subject: str, outcome: str) -> None:
    """Note that *by* did *act*, where somebody is named. A log that cannot be written fails no act."""
    told = given_by(by)
    if not told:
        return
    entry = {
        "by": told["by"],
        "act": act,
        "subject": printable(subject)[:WORDS_CHARACTERS],
        "outcome": printable(outcome)[:WORDS_CHARACTERS],
        "reason": told.get("reason", ""),
    }
    try:
        store.activity.add({"at": store.clock.now(), **entry})
    except StoreError as err:
        log.warning("activity.unwritten", extra={"act": act, "reason": str(err)})


def latest(store: Store, most: int = 100) -> list[Activity]:
    """The latest acts, the newest first."""
    return [Activity(**entry) for entry in store.activity.latest(most)]
