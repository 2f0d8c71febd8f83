"""The wait of a due job, also where each nudge has put its due time off."""

from __future__ import annotations

import pytest

from worker.jobs.states import JobState
from worker.operations.overdue import is_late, process_for, waited_seconds

NOW = 1_795_000_000_000
NUDGES = (15, 30, 60, 120, 240, 300, 300)


@pytest.mark.parametrize("nudges", range(8))
def test_the_wait_is_counted_from_the_first_due_time_through_all_nudges(nudges: int) -> None:
    due_at = NOW - 900_000 + sum(NUDGES[:nudges]) * 1000

    assert waited_seconds(due_at, nudges, NOW) == 900


def test_a_job_that_is_not_due_has_not_waited() -> None:
    assert waited_seconds(NOW + 60_000, 0, NOW) == 0


@pytest.mark.parametrize(
    ("state", "seconds", "nudges", "late"),
    [
        (JobState.ACCEPTED, 21, 0, True),
        (JobState.ACCEPTED, 50, 2, False),
        (JobState.ACCEPTED, 61, 3, True),
        (JobState.GENERATED, 290, 5, False),
        (JobState.GENERATED, 301, 5, True),
        (JobState.FAILED, 61, 3, True),
    ],
)
def test_each_step_has_its_own_pace(state: JobState, seconds: int, nudges: int, late: bool) -> None:
    due_at = NOW - seconds * 1000 + sum(NUDGES[:nudges]) * 1000

    assert is_late(state, due_at, nudges, NOW) is late


def test_copies_are_the_archivers_and_the_rest_the_workers() -> None:
    assert {state: process_for(state) for state in (JobState.GENERATED, JobState.SUBMITTED, JobState.FAILED)} == {
        JobState.GENERATED: "archiver",
        JobState.SUBMITTED: "worker",
        JobState.FAILED: "worker",
    }
