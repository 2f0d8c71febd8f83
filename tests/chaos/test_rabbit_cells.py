"""Rows Q2, Q4 and Q5: a RabbitMQ whose connections carry nothing any more, that crashes, or takes no message."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.checker import assert_sound
from tests.chaos.rabbit import Rabbit, is_installed
from tests.chaos.recorder import Recorder
from tests.chaos.system import System
from tests.chaos.wire import Wire

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_installed(), reason="RabbitMQ's own programs are not on this machine"),
]

PROVIDERS = ("gmicloud", "evolink", "apimart")
CALLS = "evolink"


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    # not among what the tests leave behind, which is searched for secrets: messages of senders hold specs
    with tempfile.TemporaryDirectory() as directory, Rabbit(Path(directory) / "node") as running:
        yield running


@pytest.fixture(scope="module")
def wire(rabbit: Rabbit) -> Iterator[Wire]:
    """The way of the whole system to RabbitMQ."""
    with Wire(lambda: rabbit.port) as running:
        yield running


@pytest.fixture(scope="module")
def hopping(rabbit: Rabbit, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    url = rabbit.url.replace(f":{rabbit.port}/", f":{wire.port}/")
    with System(tmp_path_factory.mktemp("hopping"), broker_url=url) as running:
        yield running


@pytest.fixture
def judged(hopping: System) -> Iterator[System]:
    before = len(hopping.jobs)
    yield hopping
    job_ids = hopping.jobs[before:]
    for job_id in job_ids:
        hopping.settled(job_id)
    assert_sound(Recorder(hopping).history(job_ids))


def test_q2_connections_to_rabbitmq_that_carry_nothing_any_more_are_found_out(judged: System, wire: Wire) -> None:
    wire.half_open()
    job_ids = [judged.record(provider) for provider in PROVIDERS]

    for job_id in job_ids:
        assert judged.settled(job_id, 200).state == "archived"
        assert len(judged.posts(job_id)) == 1


def test_q4_what_a_rabbitmq_has_confirmed_is_a_job_after_it_was_killed(judged: System, rabbit: Rabbit) -> None:
    job_ids = [judged.start_job(provider) for provider in PROVIDERS]
    job_ids += [judged.send_raw(provider) for provider in PROVIDERS]

    rabbit.kill()
    job_ids += [judged.record(provider) for provider in PROVIDERS]
    rabbit.start()

    for job_id in job_ids:
        assert judged.settled(job_id, 150).state == "archived"
        assert len(judged.posts(job_id)) == 1


def test_q5_a_rabbitmq_without_memory_delays_jobs_and_no_callback(judged: System, rabbit: Rabbit) -> None:
    waiting = judged.start_job(CALLS, {"on": "callback", "lost": True}, {"on": "generation", "seconds": 30})
    judged.reaches(waiting, "submitted")

    rabbit.control("set_vm_memory_high_watermark", "absolute", "1")
    try:
        judged.wait(lambda: rabbit.is_alarmed, "the alarm")
        job_ids = [judged.record(provider) for provider in PROVIDERS]
        judged.control.advance(30)
        [answer] = judged.control.callback(str(judged.job(waiting).request_id))
        assert all(judged.posts(job_id) == [] for job_id in job_ids)
    finally:
        rabbit.control("set_vm_memory_high_watermark", "0.4")

    assert (answer["status"], answer["seconds"] <= 2) == (200, True)
    for job_id in (waiting, *job_ids):
        assert judged.settled(job_id, 150).state == "archived"
        assert len(judged.posts(job_id)) == 1
