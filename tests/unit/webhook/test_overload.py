"""Overload: so many deliveries ask the store at once, and only one while it is silent."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from tests.unit.clock import Clock
from webhook.overload import SILENT, SILENT_SECONDS, Overload
from worker.errors import CallbackError, StoreError


@pytest.fixture
def overload(clock: Clock) -> Overload:
    return Overload(places=2, wait_seconds=0.01, monotonic=clock)


def fail(overload: Overload, clock: Clock, *, after_seconds: float) -> None:
    """One caller whose store fails *after_seconds*."""
    with pytest.raises(StoreError, match="time-out"):
        ask(overload, clock, after_seconds)


def ask(overload: Overload, clock: Clock, after_seconds: float) -> None:
    with overload.place():
        clock.now += after_seconds
        raise StoreError("time-out")


def test_a_caller_that_finds_no_place_in_time_is_sent_away(overload: Overload) -> None:
    with overload.place(), overload.place(), pytest.raises(StoreError, match="no place"), overload.place():
        pytest.fail("three were let in")


def test_a_place_is_free_again_when_its_holder_is_done_or_failed(overload: Overload, clock: Clock) -> None:
    fail(overload, clock, after_seconds=0)
    fail(overload, clock, after_seconds=0)

    with overload.place(), overload.place():
        pass


def test_a_caller_that_queued_while_the_store_fell_silent_does_not_try_it_too(clock: Clock) -> None:
    overload = Overload(places=1, wait_seconds=30, monotonic=clock)
    falls_silent = Event()

    def hold() -> None:
        with overload.place():
            falls_silent.wait()
            clock.now += SILENT_SECONDS
            raise StoreError("time-out")

    callers = [gevent.spawn(hold), gevent.spawn(ask, overload, clock, 0)]
    gevent.idle()
    falls_silent.set()
    gevent.joinall(callers, timeout=30)

    assert [str(caller.exception) for caller in callers] == ["time-out", SILENT]


def test_a_request_that_gevent_ends_while_it_queues_takes_no_place_along() -> None:
    overload, is_over = Overload(places=1, wait_seconds=30), Event()

    def go_in() -> None:
        with overload.place():
            is_over.wait()

    holder, queued = gevent.spawn(go_in), gevent.spawn(go_in)
    gevent.idle()
    queued.kill()
    is_over.set()
    gevent.joinall([holder, queued], timeout=30)

    with overload.place():
        pass


def test_of_many_that_queue_each_has_its_place_in_the_end() -> None:
    overload, served = Overload(places=2, wait_seconds=30), []

    def go_in(n: int) -> None:
        with overload.place():
            gevent.sleep(0)
            served.append(n)

    gevent.joinall([gevent.spawn(go_in, n) for n in range(200)], timeout=30)

    assert served == list(range(200))


@pytest.mark.parametrize("times", [1, 3])
def test_while_the_store_is_silent_one_caller_probes_it_and_the_others_wait_for_its_result(
    clock: Clock, times: int
) -> None:
    overload = Overload(places=2, wait_seconds=0.01, monotonic=clock)
    for _ in range(times):
        fail(overload, clock, after_seconds=SILENT_SECONDS)

    with overload.place(), pytest.raises(StoreError, match=SILENT), overload.place():
        pytest.fail("two were let in")


def test_when_the_probe_is_answered_all_that_waited_go_in(clock: Clock) -> None:
    overload, is_answered, served = Overload(places=8, wait_seconds=30, monotonic=clock), Event(), []
    fail(overload, clock, after_seconds=SILENT_SECONDS)

    def probe() -> None:
        with overload.place():
            is_answered.wait()

    def go_in(n: int) -> None:
        with overload.place():
            served.append(n)

    callers = [gevent.spawn(probe), *(gevent.spawn(go_in, n) for n in range(4))]
    gevent.idle()
    assert served == []
    is_answered.set()
    gevent.joinall(callers, timeout=30)

    assert served == [0, 1, 2, 3]


def test_after_a_probe_that_failed_the_next_caller_probes(overload: Overload, clock: Clock) -> None:
    fail(overload, clock, after_seconds=SILENT_SECONDS)
    fail(overload, clock, after_seconds=0)

    with overload.place():
        pass

    with overload.place(), overload.place():
        pass


def test_a_delivery_that_is_no_callback_says_that_the_store_answers(overload: Overload, clock: Clock) -> None:
    fail(overload, clock, after_seconds=SILENT_SECONDS)
    with pytest.raises(CallbackError), overload.place():
        raise CallbackError("mismatch", "another request")

    with overload.place(), overload.place():
        pass


def test_a_refusal_is_not_silence(overload: Overload, clock: Clock) -> None:
    """One record that Redis refuses to touch must not keep out the callbacks of all others."""
    fail(overload, clock, after_seconds=SILENT_SECONDS / 2)

    with overload.place(), overload.place():
        pass


def test_a_store_that_answers_each_command_late_is_given_up_before_a_provider_has_waited_too_long() -> None:
    overload = Overload()

    with pytest.raises(StoreError, match="no answer from Redis"), overload.place():
        gevent.sleep(600)
