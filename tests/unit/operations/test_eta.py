"""When a video may be expected, and when a generation is late, by what its model has taken before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.operations.test_explain import HOUR, MINUTE, NOW, SECOND, view
from worker.jobs.states import JobState
from worker.operations.eta import Eta, eta
from worker.operations.stuck import why_stuck

S = JobState
TEN = [(float(seconds), "") for seconds in range(10, 110, 10)]


def estimate(state: JobState, took: list[tuple[float, str]], **facts: Any) -> Eta | None:
    seen = {name: facts.pop(name) for name in ("archiving", "at_once", "ahead") if name in facts}
    return eta(replace(view(state, **facts), took=took, **seen))


def test_a_generation_is_expected_by_those_that_took_longer_than_it_has() -> None:
    assert estimate(S.SUBMITTED, TEN, submitted_at=NOW) == Eta(NOW + 50 * SECOND, NOW + 90 * SECOND)
    assert estimate(S.SUBMITTED, TEN, submitted_at=NOW - 65 * SECOND) == Eta(NOW + 15 * SECOND, NOW + 35 * SECOND)


def test_the_copy_is_a_part_of_the_way() -> None:
    archiving = [1.0, 2.0, 3.0]

    assert estimate(S.SUBMITTED, TEN, submitted_at=NOW, archiving=archiving) == Eta(NOW + 52_000, NOW + 93_000)
    assert estimate(S.GENERATED, TEN, archiving=archiving, state_at=NOW) == Eta(NOW + 2_000, NOW + 3_000)


def test_a_job_in_line_waits_for_those_before_it() -> None:
    expected = estimate(S.ACCEPTED, TEN, place="submit:1", waits="provider_turn", at_once=4, ahead=lambda: 8)

    assert expected == Eta(NOW + (2 * 50 + 50) * SECOND, NOW + (2 * 50 + 90) * SECOND)


@pytest.mark.parametrize(
    ("facts", "begins_at"),
    [
        ({"not_before": NOW + HOUR}, NOW + HOUR),
        ({"waits": "budget", "place": "submit:1"}, (NOW // (24 * HOUR) + 1) * 24 * HOUR),
        ({}, NOW),
    ],
)
def test_a_job_that_begins_later_is_expected_later(facts: dict[str, Any], begins_at: int) -> None:
    assert estimate(S.ACCEPTED, TEN, **facts) == Eta(begins_at + 50 * SECOND, begins_at + 90 * SECOND)


def test_twenty_of_its_own_kind_count_alone() -> None:
    took = [*TEN, *((5.0, "5/720p") for _ in range(20))]

    assert estimate(S.SUBMITTED, took, submitted_at=NOW, kind="5/720p") == Eta(NOW + 5 * SECOND, NOW + 5 * SECOND)
    assert estimate(S.SUBMITTED, took[:-1], submitted_at=NOW, kind="5/720p") != Eta(NOW + 5_000, NOW + 5_000)


@pytest.mark.parametrize(
    ("state", "took", "facts"),
    [
        (S.SUBMITTED, TEN[:4], {"submitted_at": NOW}),
        (S.SUBMITTED, TEN, {"submitted_at": NOW - 2 * MINUTE}),
        (S.UNCONFIRMED, TEN, {}),
        (S.ARCHIVED, TEN, {}),
        (S.FAILED, TEN, {}),
        (S.ACCEPTED, TEN, {"waits": "paused", "place": "submit:1"}),
        (S.ACCEPTED, TEN, {"waits": "breaker", "place": "submit:1"}),
        (S.ACCEPTED, TEN, {"waits": "configuration"}),
    ],
)
def test_what_cannot_be_told_is_not_told(state: JobState, took: list[tuple[float, str]], facts: dict[str, Any]) -> None:
    assert estimate(state, took, **facts) is None


@pytest.mark.parametrize(
    ("count", "minutes", "words"),
    [
        (20, 3, "submitted for 3 min, and 99 of 100 generations of its model end within 2 min"),
        (20, 1, None),
        (19, 3, None),
        (19, 31, "submitted for 31 min"),
    ],
)
def test_a_generation_is_late_by_its_models_own_history(count: int, minutes: int, words: str | None) -> None:
    seen = view(S.SUBMITTED, state_at=NOW - minutes * MINUTE, submitted_at=NOW - minutes * MINUTE)

    assert why_stuck(replace(seen, took=[(120.0, "")] * count)) == words
