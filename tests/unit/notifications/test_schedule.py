"""The schedule: at once, then ever more rarely, for three days."""

from __future__ import annotations

import random

import pytest

from worker.notifications.schedule import HOUR, TOTAL_SECONDS, wait_seconds


class Middle(random.Random):
    """No jitter: the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


MIDDLE = Middle()


def test_the_waits_are_those_of_the_design() -> None:
    waits = [wait_seconds(tries, 0, MIDDLE) for tries in range(1, 11)]

    assert waits == [5, 30, 120, 600, 1800, HOUR, 2 * HOUR, 4 * HOUR, 4 * HOUR, 4 * HOUR]


@pytest.mark.parametrize("seed", range(20))
def test_every_wait_is_spread_by_a_tenth(seed: int) -> None:
    wait = wait_seconds(3, 0, random.Random(seed))

    assert wait is not None
    assert 108 <= wait <= 132


def test_no_try_is_made_after_72_hours() -> None:
    assert wait_seconds(25, TOTAL_SECONDS - 4 * HOUR, MIDDLE) == 4 * HOUR
    assert wait_seconds(25, TOTAL_SECONDS - 4 * HOUR + 1, MIDDLE) is None


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(60.0, 63.0), (1.0, 5.0), (-5.0, 5.0), (HOUR, 1.05 * HOUR), (1e12, 4.2 * HOUR)],
    ids=["later than planned", "sooner than planned", "in the past", "an hour", "for ever"],
)
def test_a_retry_after_puts_a_try_off_and_never_forward(asked: float, waited: float) -> None:
    assert wait_seconds(1, 0, MIDDLE, retry_after_seconds=asked) == pytest.approx(waited)
