"""Ticks of the clock: those that come late or together make one sweep, whatever any clock is set to."""

from __future__ import annotations

import pytest

from tests.integration.store.conftest import DAY, MINUTE, Clock
from worker.store import Store


def test_ticks_a_second_apart_all_sweep(store: Store, clock: Clock) -> None:
    begun = []
    for _ in range(10):
        begun.append(store.due.begin_sweep())
        clock.advance(1000)

    assert all(begun)


def test_ticks_that_waited_together_sweep_once(store: Store, clock: Clock) -> None:
    begun = []
    for _ in range(3600):
        begun.append(store.due.begin_sweep())
        clock.advance(0)

    assert begun.count(True) == 1


@pytest.mark.parametrize("jump", [-MINUTE, -DAY, MINUTE, DAY])
def test_a_server_whose_clock_is_set_sweeps_on(store: Store, clock: Clock, jump: int) -> None:
    assert store.due.begin_sweep()

    clock.advance(jump)

    assert store.due.begin_sweep()
    assert not store.due.begin_sweep()
