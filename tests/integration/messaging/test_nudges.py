"""Nudges: what the clock knows of messages that wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Queue

from deploy.local.ports import LOOPBACK, free_port
from worker.messaging import nudges
from worker.steps import Step


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("nudges", broker=redis_url, set_as_current=False)
    app.conf.task_queues = [Queue("callsheet"), Queue("callsheet.archive")]
    yield app
    app.close()


def test_messages_wait_once_they_are_sent(app: Celery) -> None:
    before = nudges.are_waiting(app, "callsheet")

    nudges.send(app, Step.SUBMIT, ["job-1"])

    assert not before
    assert nudges.are_waiting(app, "callsheet")


def test_the_archive_step_has_a_queue_of_its_own(app: Celery) -> None:
    nudges.send(app, Step.ARCHIVE, ["job-1"])

    assert nudges.are_waiting(app, "callsheet.archive")
    assert not nudges.are_waiting(app, "callsheet")


def test_where_the_broker_does_not_tell_nothing_waits() -> None:
    app = Celery("nudges", broker=f"redis://{LOOPBACK}:{free_port()}/0", set_as_current=False)
    app.conf.task_queues = [Queue("callsheet"), Queue("callsheet.archive")]
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}

    assert not nudges.are_waiting(app, "callsheet")
