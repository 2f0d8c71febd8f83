"""Which jobs are stuck: the gravest reason in words, and silence about those that go on."""

from __future__ import annotations

from typing import Any

import pytest

from worker.jobs.job import Job, JobError
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.operations.explain import View
from worker.operations.stuck import why_stuck

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
NOW = 1_795_000_000_000
S = JobState
ARCHIVE = JobError("archive", "dead", "gone")


LEASED: dict[str, Any] = {"lease": "a-nonce", "lease_until": NOW + 20 * SECOND}


def stuck(state: JobState, *, due_in_ms: int | None = 30 * SECOND, for_ms: int = 30 * SECOND, **job: Any) -> str | None:
    facts = {"provider": "evolink", "ver": 3, "told_ver": 3, "accepted_at": NOW - for_ms, "state_at": NOW - for_ms}
    due_at = None if due_in_ms is None else NOW + due_in_ms
    return why_stuck(View(Job("j1", state, **{**facts, **job}), due_at, NOW, Timing()))


@pytest.mark.parametrize("state", [S.ACCEPTED, S.SUBMITTING, S.SUBMITTED, S.GENERATED, S.EXPIRED])
def test_a_job_that_goes_on_is_not_stuck(state: JobState) -> None:
    assert stuck(state) is None


@pytest.mark.parametrize(
    ("code", "words"), [("no_video", "names no video"), ("bad_link", "names no link that is an https URL")]
)
def test_a_success_that_cannot_be_used_is_stuck_at_once(code: str, words: str) -> None:
    told = stuck(S.SUBMITTED, for_ms=SECOND, unusable=code)

    assert told == f"evolink says that it is done, but {words} ({code})"


def test_a_closed_job_is_never_stuck() -> None:
    assert stuck(S.ARCHIVED, due_in_ms=None, closed_at=NOW) is None


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("in no due index", {"state": S.SUBMITTED, "due_in_ms": None}),
        ("due for 1 min, and nobody looks", {"state": S.SUBMITTED, "due_in_ms": -MINUTE}),
        (
            "due for 12 min 45 s, and no worker takes it",
            {"state": S.SUBMITTED, "due_in_ms": 0, "nudges": 6, "for_ms": MINUTE},
        ),
        ("due for 12 min 45 s, and no archiver takes it", {"state": S.GENERATED, "due_in_ms": 0, "nudges": 6}),
        ("its POST may have been taken", {"state": S.UNCONFIRMED}),
        ("its link dies in 5 h", {"state": S.GENERATED, "link_expires_at": NOW + 5 * HOUR}),
        ("one step has held it for 16 min", {**LEASED, "state": S.GENERATED, "leased_at": NOW - 16 * MINUTE}),
        ("one step has held it for 16 min", {**LEASED, "state": S.FAILED, "leased_at": NOW - 16 * MINUTE}),
        ("its link should have died 2 h ago", {"state": S.GENERATED, "link_expires_at": NOW - 2 * HOUR}),
        ("3 tries in a row failed", {"state": S.GENERATED, "failures": 3}),
        ("accepted for 6 min", {"state": S.ACCEPTED, "for_ms": 6 * MINUTE}),
        ("submitted for 31 min", {"state": S.SUBMITTED, "for_ms": 31 * MINUTE}),
        ("its result is not told", {"state": S.FAILED, "error": ARCHIVE, "told_ver": 2, "for_ms": 2 * MINUTE}),
    ],
)
def test_every_reason_has_its_words(words: str, arguments: dict[str, Any]) -> None:
    assert words in (stuck(**arguments) or "")


def test_a_leased_job_that_is_overdue_is_being_looked_at() -> None:
    assert stuck(S.GENERATED, due_in_ms=-MINUTE, lease="1:1", lease_until=NOW + MINUTE) is None


def test_a_lease_that_has_just_been_taken_holds_nothing_up() -> None:
    assert stuck(S.GENERATED, leased_at=NOW - 14 * MINUTE, **LEASED) is None


def test_a_lease_that_has_ended_is_nobodys() -> None:
    assert stuck(S.GENERATED, leased_at=NOW - HOUR, lease="a-nonce", lease_until=NOW - SECOND) is None


def test_a_final_job_that_is_looked_at_slowly_is_not_stuck() -> None:
    assert stuck(S.FAILED, error=ARCHIVE, failures=9, for_ms=9 * HOUR, due_in_ms=HOUR) is None
