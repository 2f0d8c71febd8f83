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


@pytest.mark.parametrize("step", [Step.ARCHIVE, Step.CONFIRM])
def test_the_archivers_steps_have_a_queue_of_their_own(app: Celery, step: Step) -> None:
    nudges.send(app, step, ["job-1"])

    assert nudges.are_waiting(app, "callsheet.archive")
    assert not nudges.are_waiting(app, "callsheet")


@pytest.mark.parametrize(
    ("step", "kwargs"),
    [(Step.ARCHIVE, {}), (Step.CONFIRM, {"job_ids": ["job-1"]}), (Step.POLL, {"job_ids": ["job-1"]})],
)
def test_an_archive_message_names_no_job(app: Celery, step: Step, kwargs: dict[str, list[str]]) -> None:
    nudges.send(app, step, ["job-1"])

    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(nudges.queue_of(step)).get(timeout=5)
        assert message.payload[1] == kwargs


def test_where_the_broker_does_not_tell_nothing_waits() -> None:
    app = Celery("nudges", broker=f"redis://{LOOPBACK}:{free_port()}/0", set_as_current=False)
    app.conf.task_queues = [Queue("callsheet"), Queue("callsheet.archive")]
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}

    assert not nudges.are_waiting(app, "callsheet")
