"""Bulkhead and circuit breaker of a host: one that is slow or dead is left alone, and others do not notice."""

from __future__ import annotations

import random

import pytest

from tests.unit.clock import Clock
from worker.notifications.hosts import AT_ONCE, FAILURES, PAUSE_SECONDS, HostLimits

HOST, OTHER = "backend.example.com", "other.example.com"


@pytest.fixture
def limits(clock: Clock) -> HostLimits:
    return HostLimits(clock=clock, rng=random.Random(1))


def fail(limits: HostLimits, times: int = FAILURES) -> None:
    for _ in range(times):
        assert limits.begin(HOST)
        limits.end(HOST, is_up=False, seconds=1)


def test_one_host_has_only_so_many_at_once(limits: HostLimits) -> None:
    begun = [limits.begin(HOST) for _ in range(AT_ONCE + 1)]

    assert begun == [True] * AT_ONCE + [False]
    assert limits.begin(OTHER)
    limits.end(HOST, is_up=True, seconds=1)
    assert limits.begin(HOST)


def test_a_host_that_fails_again_and_again_is_left_alone_for_a_while(limits: HostLimits, clock: Clock) -> None:
    fail(limits)

    assert limits.is_open(HOST)
    assert not limits.begin(HOST)
    assert limits.begin(OTHER)
    clock.now += PAUSE_SECONDS
    assert [limits.begin(HOST), limits.begin(HOST)] == [True, False], "one probe"


def test_a_probe_that_succeeds_closes_the_breaker(limits: HostLimits, clock: Clock) -> None:
    fail(limits)
    clock.now += PAUSE_SECONDS
    assert limits.begin(HOST)

    limits.end(HOST, is_up=True, seconds=1)

    assert not limits.is_open(HOST)
    assert [limits.begin(HOST), limits.begin(HOST)] == [True, True]


def test_a_probe_that_fails_opens_it_again(limits: HostLimits, clock: Clock) -> None:
    fail(limits)
    clock.now += PAUSE_SECONDS
    assert limits.begin(HOST)

    limits.end(HOST, is_up=False, seconds=1)

    assert limits.is_open(HOST)


def test_a_probe_that_sent_nothing_lets_another_through(limits: HostLimits, clock: Clock) -> None:
    fail(limits)
    clock.now += PAUSE_SECONDS
    assert limits.begin(HOST)

    limits.end(HOST, is_up=None, seconds=0)

    assert limits.begin(HOST)


def test_a_success_between_failures_keeps_it_closed(limits: HostLimits) -> None:
    fail(limits, FAILURES - 1)
    assert limits.begin(HOST)
    limits.end(HOST, is_up=True, seconds=1)

    fail(limits, FAILURES - 1)

    assert not limits.is_open(HOST)


def test_fewer_jobs_wait_for_a_slow_host(limits: HostLimits) -> None:
    for _ in range(30):
        for host, seconds in ((HOST, 0.01), (OTHER, 10.0)):
            assert limits.begin(host)
            limits.end(host, is_up=True, seconds=seconds)

    assert limits.has_room(HOST, 500)
    assert limits.has_room(OTHER, 5)
    assert not limits.has_room(OTHER, 20)


def test_jobs_that_are_put_off_come_back_one_after_the_other(limits: HostLimits) -> None:
    fail(limits)

    waits = [limits.hold_seconds(HOST) for _ in range(2000)]

    assert min(waits) >= PAUSE_SECONDS
    assert max(waits) <= PAUSE_SECONDS + 270
    assert waits[0] < PAUSE_SECONDS + 1, "a single one comes soon"
    assert sum(wait < PAUSE_SECONDS + 60 for wait in waits) < 700
