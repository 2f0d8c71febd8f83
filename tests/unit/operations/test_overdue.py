"""The wait of a due job, also where each nudge has put its due time off."""

from __future__ import annotations

import pytest

from worker.operations.overdue import is_late, process_for, waited_seconds
from worker.steps import Step

NOW = 1_795_000_000_000
NUDGES = (15, 30, 60, 120, 240, 300, 300)


@pytest.mark.parametrize("nudges", range(8))
def test_the_wait_is_counted_from_the_first_due_time_through_all_nudges(nudges: int) -> None:
    due_at = NOW - 900_000 + sum(NUDGES[:nudges]) * 1000

    assert waited_seconds(due_at, nudges, NOW) == 900


def test_a_job_that_is_not_due_has_not_waited() -> None:
    assert waited_seconds(NOW + 60_000, 0, NOW) == 0


@pytest.mark.parametrize(
    ("step", "seconds", "nudges", "late"),
    [
        (Step.SUBMIT, 21, 0, True),
        (Step.SUBMIT, 50, 2, False),
        (Step.SUBMIT, 61, 3, True),
        (Step.ARCHIVE, 290, 5, False),
        (Step.ARCHIVE, 301, 5, True),
        (Step.DELIVER, 61, 3, True),
        (Step.REVISIT, 301, 5, False),
    ],
)
def test_each_step_has_its_own_pace(step: Step, seconds: int, nudges: int, late: bool) -> None:
    due_at = NOW - seconds * 1000 + sum(NUDGES[:nudges]) * 1000

    assert is_late(step, due_at, nudges, NOW) is late


def test_copies_are_the_archivers_and_the_rest_the_workers() -> None:
    assert {step: process_for(step) for step in (Step.ARCHIVE, Step.REVISIT, Step.POLL, Step.DELIVER)} == {
        Step.ARCHIVE: "archiver",
        Step.REVISIT: "archiver",
        Step.POLL: "worker",
        Step.DELIVER: "worker",
    }
