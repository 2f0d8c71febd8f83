"""The publisher: nudges go out together, in the background, and a broker in trouble holds up nobody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.conftest import WaitUntil
from worker.errors import BrokerError
from worker.messaging.publisher import BATCH, Publisher


class Broker:
    """Takes messages, or waits, or refuses, as the test says."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.is_up = True
        self.asked = threading.Semaphore(0)
        self.thawed = threading.Event()
        self.thawed.set()

    def send(self, job_ids: Sequence[str]) -> None:
        self.asked.release()
        self.thawed.wait(30)
        if not self.is_up:
            raise BrokerError("refused")
        self.messages.append(list(job_ids))

    def freeze(self) -> None:
        self.thawed.clear()

    @property
    def job_ids(self) -> list[str]:
        return [job_id for message in self.messages for job_id in message]


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.thawed.set()


@pytest.fixture
def publishers(broker: Broker) -> Iterator[Callable[..., Publisher]]:
    made: list[Publisher] = []

    def publisher(**options: int) -> Publisher:
        made.append(Publisher(broker.send, **options))
        return made[-1]

    yield publisher
    broker.thawed.set()
    for each in made:
        each.close()


def held_up(broker: Broker, publisher: Publisher) -> Publisher:
    """*publisher*, whose message for the job `first` is on its way to a broker that has frozen."""
    broker.freeze()
    publisher.nudge("first")
    broker.asked.acquire(timeout=10)
    return publisher


def test_a_nudge_is_sent(broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil) -> None:
    publisher = publishers()

    publisher.nudge("job-1")

    wait_until(lambda: broker.messages == [["job-1"]])
    wait_until(lambda: publisher.state == "up")


def test_nothing_is_started_before_the_first_nudge(publishers: Callable[..., Publisher]) -> None:
    before = threading.active_count()

    publisher = publishers()

    assert threading.active_count() == before
    assert publisher.state == "unused"


def test_what_comes_while_a_message_is_on_its_way_goes_out_as_one(
    broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil
) -> None:
    publisher = held_up(broker, publishers())
    for n in range(5):
        publisher.nudge(f"job-{n}")

    broker.thawed.set()

    wait_until(lambda: len(broker.messages) == 2)
    assert broker.messages == [["first"], [f"job-{n}" for n in range(5)]]


def test_a_job_that_waits_already_is_not_sent_twice(
    broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil
) -> None:
    publisher = held_up(broker, publishers())
    for _ in range(3):
        publisher.nudge("job-1")

    broker.thawed.set()

    wait_until(lambda: len(broker.messages) == 2)
    assert broker.messages[1] == ["job-1"]


def test_a_message_holds_a_hundred_jobs_at_most(
    broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil
) -> None:
    publisher = held_up(broker, publishers())
    wanted = [f"job-{n}" for n in range(2 * BATCH + 1)]
    for job_id in wanted:
        publisher.nudge(job_id)

    broker.thawed.set()

    wait_until(lambda: len(broker.job_ids) == 1 + len(wanted))
    assert [len(message) for message in broker.messages] == [1, BATCH, BATCH, 1]
    assert broker.job_ids == ["first", *wanted]


def test_a_message_holds_as_few_jobs_as_are_asked_for(
    broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil
) -> None:
    publisher = held_up(broker, publishers(batch=2))
    for n in range(3):
        publisher.nudge(f"job-{n}")

    broker.thawed.set()

    wait_until(lambda: len(broker.job_ids) == 4)
    assert broker.messages == [["first"], ["job-0", "job-1"], ["job-2"]]


def test_a_frozen_broker_holds_up_no_nudge_and_what_overflows_is_counted(
    broker: Broker, publishers: Callable[..., Publisher]
) -> None:
    publisher = held_up(broker, publishers(capacity=3))

    for n in range(10):
        publisher.nudge(f"job-{n}")

    assert publisher.dropped == 7


def test_a_broker_that_refuses_is_told_of_and_its_jobs_are_not_sent_again(
    broker: Broker, publishers: Callable[..., Publisher], wait_until: WaitUntil
) -> None:
    publisher = publishers()
    broker.is_up = False

    publisher.nudge("lost")

    wait_until(lambda: publisher.state == "down")
    assert publisher.dropped == 1
    broker.is_up = True
    publisher.nudge("job-1")
    wait_until(lambda: publisher.state == "up")
    assert broker.messages == [["job-1"]]


def test_closing_sends_what_waits(broker: Broker, publishers: Callable[..., Publisher]) -> None:
    publisher = publishers()
    for n in range(2 * BATCH):
        publisher.nudge(f"job-{n}")

    publisher.close(timeout_seconds=30)

    assert len(broker.job_ids) == 2 * BATCH


def test_closing_does_not_wait_for_a_frozen_broker(broker: Broker, publishers: Callable[..., Publisher]) -> None:
    publisher = publishers()
    broker.freeze()
    publisher.nudge("job-1")
    broker.asked.acquire(timeout=10)

    publisher.close(timeout_seconds=0.01)

    assert broker.messages == []


def test_closing_a_publisher_that_was_never_used_does_nothing(publishers: Callable[..., Publisher]) -> None:
    publishers().close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")  # since Python 3.12
def test_a_forked_web_worker_gets_a_thread_of_its_own(
    wait_until: WaitUntil,
) -> None:
    read, write = os.pipe()

    def send(job_ids: Sequence[str]) -> None:
        os.write(write, b" ".join(job_id.encode() for job_id in job_ids))

    os.set_blocking(read, False)
    publisher = Publisher(send)
    publisher.nudge("parent")
    wait_until(lambda: publisher.state == "up")
    assert os.read(read, 100) == b"parent"

    child = os.fork()
    if child == 0:
        try:
            publisher.nudge("child")
            publisher.close(timeout_seconds=30)
        finally:
            os._exit(0)  # never back into pytest

    os.waitpid(child, 0)
    assert os.read(read, 100) == b"child"
    publisher.close()
    os.close(read)
    os.close(write)
