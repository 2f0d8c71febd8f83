"""The gate: so many deliveries ask the store at once, and only one while it is silent."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import WaitUntil
from webhook.overload import SILENT, SILENT_SECONDS, Gate
from worker.errors import CallbackError, StoreError


def is_waiting(thread: threading.Thread) -> bool:
    """Whether *thread* queues for a place."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "_enter"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(places=2, wait_seconds=0.01, monotonic=clock)


def fail(gate: Gate, clock: Clock, *, after_seconds: float) -> None:
    """One caller whose store fails *after_seconds*."""
    with pytest.raises(StoreError, match="time-out"):
        ask(gate, clock, after_seconds)


def ask(gate: Gate, clock: Clock, after_seconds: float) -> None:
    with gate.place():
        clock.now += after_seconds
        raise StoreError("time-out")


def test_who_finds_no_place_in_time_is_sent_away(gate: Gate) -> None:
    with gate.place(), gate.place(), pytest.raises(StoreError, match="no turn"), gate.place():
        pytest.fail("three were let in")


def test_a_place_is_free_again_when_its_holder_is_done_or_failed(gate: Gate, clock: Clock) -> None:
    fail(gate, clock, after_seconds=0)
    fail(gate, clock, after_seconds=0)

    with gate.place(), gate.place():
        pass


def test_who_has_queued_while_the_store_fell_silent_does_not_try_it_too(clock: Clock, wait_until: WaitUntil) -> None:
    gate, told = Gate(places=1, wait_seconds=30, monotonic=clock), []

    def queue() -> None:
        with pytest.raises(StoreError) as refusal:
            ask(gate, clock, after_seconds=0)
        told.append(str(refusal.value))

    queued = threading.Thread(target=queue)

    def fall_silent() -> None:
        with gate.place():
            queued.start()
            wait_until(lambda: is_waiting(queued))
            clock.now += SILENT_SECONDS
            raise StoreError("time-out")

    with pytest.raises(StoreError, match="time-out"):
        fall_silent()
    queued.join()

    assert told == [SILENT]


ENDED = """
from gevent import monkey; monkey.patch_all()
import gevent
from gevent.event import Event
from webhook.overload import Gate

gate, is_over = Gate(places=1, wait_seconds=30), Event()

def go_in():
    with gate.place():
        is_over.wait()

holder, queued = gevent.spawn(go_in), gevent.spawn(go_in)
gevent.idle()
queued.kill()
is_over.set()
gevent.joinall([holder, queued])
with gate.place():
    print("in")
"""


def test_a_request_that_gevent_ends_while_it_queues_takes_no_place_along() -> None:
    told = subprocess.run([sys.executable, "-c", ENDED], capture_output=True, text=True, timeout=60, check=False)

    assert told.stdout == "in\n", told.stderr


def test_who_has_queued_goes_in_before_who_comes_later(clock: Clock, wait_until: WaitUntil) -> None:
    gate, order = Gate(places=1, wait_seconds=30, monotonic=clock), []

    def go_in(who: str) -> None:
        with gate.place():
            order.append(who)

    queued = threading.Thread(target=go_in, args=["first"])
    with gate.place():
        queued.start()
        wait_until(lambda: is_waiting(queued))
    go_in("second")
    queued.join()

    assert order == ["first", "second"]


@pytest.mark.parametrize("times", [1, 3])
def test_while_the_store_is_silent_one_asks_and_the_others_heed_its_word(clock: Clock, times: int) -> None:
    gate = Gate(places=2, wait_seconds=0.01, monotonic=clock)
    for _ in range(times):
        fail(gate, clock, after_seconds=SILENT_SECONDS)

    with gate.place(), pytest.raises(StoreError, match=SILENT), gate.place():
        pytest.fail("two were let in")


def test_when_the_scout_is_answered_all_that_waited_go_in(clock: Clock) -> None:
    gate = Gate(places=8, wait_seconds=30, monotonic=clock)
    fail(gate, clock, after_seconds=SILENT_SECONDS)

    def go_in(_: int) -> str:
        with gate.place():
            return "in"

    with ThreadPoolExecutor(4) as pool:
        with gate.place():
            waiting = pool.map(go_in, range(4))

        assert list(waiting) == ["in"] * 4


def test_a_store_that_answers_again_is_open_to_all(gate: Gate, clock: Clock) -> None:
    fail(gate, clock, after_seconds=SILENT_SECONDS)
    with gate.place():
        pass

    with gate.place(), gate.place():
        pass


def test_a_delivery_that_is_no_callback_says_that_the_store_answers(gate: Gate, clock: Clock) -> None:
    fail(gate, clock, after_seconds=SILENT_SECONDS)
    with pytest.raises(CallbackError), gate.place():
        raise CallbackError("mismatch", "another request")

    with gate.place(), gate.place():
        pass


def test_a_refusal_is_not_silence(gate: Gate, clock: Clock) -> None:
    """One record that Redis refuses to touch must not keep out the callbacks of all others."""
    fail(gate, clock, after_seconds=SILENT_SECONDS / 2)

    with gate.place(), gate.place():
        pass
