"""The soak's schedule: the same seed plays the same run, and a long one plays everything."""

from __future__ import annotations

import pytest

from tests.chaos.soak import DOORS, FAULTS, POINTS, PROVIDERS, TROUBLE, schedule

pytestmark = pytest.mark.subset


def test_the_same_seed_plays_the_same_run_and_another_seed_another() -> None:
    first, again, other = (list(schedule(jobs=300, seed=seed)) for seed in (7, 7, 8))

    assert first == again
    assert [wave.fault for wave in first] != [wave.fault for wave in other]


def test_as_many_jobs_are_started_as_were_asked_for_each_once() -> None:
    job_ids = [start.job_id for wave in schedule(jobs=305, seed=1) for start in wave.starts]

    assert len(job_ids) == len(set(job_ids)) == 305


def test_two_thousand_jobs_meet_every_fault_point_provider_and_trouble() -> None:
    waves = list(schedule(jobs=2000, seed=1))
    starts = [start for wave in waves for start in wave.starts]

    assert {wave.fault for wave in waves} == set(FAULTS)
    assert {start.at_point[0] for start in starts if start.at_point} == set(POINTS)
    assert {start.provider for start in starts} == set(PROVIDERS)
    assert all(any(rule in start.trouble for start in starts) for rule in TROUBLE)
    assert {(start.door, start.is_notified) for start in starts} == {
        (door, is_notified) for door in DOORS for is_notified in (True, False)
    }
