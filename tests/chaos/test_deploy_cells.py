"""Rows X: deploys. Every process is replaced under load, and a record of tomorrow waits for the code of tomorrow."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.chaos import operations as do
from tests.chaos.system import System
from worker.jobs.job import SCHEMA_VERSION
from worker.steps import Step

pytestmark = pytest.mark.timeout(300)

PROVIDERS = ("evolink", "gmicloud")
CALLS = "evolink"
BETWEEN_JOBS_SECONDS = 0.4


@contextmanager
def load(system: System) -> Iterator[list[str]]:
    """Jobs that start one after another for as long as the block lasts, so that callbacks flow all the time."""
    job_ids: list[str] = []
    over = threading.Event()

    def start() -> None:
        for provider in itertools.cycle(PROVIDERS):
            job_ids.append(system.start_job(provider, {"on": "generation", "seconds": 1}))
            if over.wait(BETWEEN_JOBS_SECONDS):
                return

    thread = threading.Thread(target=start, name="load")
    thread.start()
    try:
        yield job_ids
    finally:
        over.set()
        thread.join()


def assert_paid_once(system: System, job_ids: list[str]) -> None:
    for job_id in job_ids:
        assert system.settled(job_id, 120).state == "archived"
        assert len(system.created(job_id)) == 1


def test_x1_every_process_replaced_under_load_loses_nothing_and_refuses_no_callback(system: System) -> None:
    with load(system) as job_ids:
        do.reload_receiver(system)
        for name in ("worker", "archiver", "sweeper", "beat", "flower", "console"):
            do.replace_in_order(system, name)

    assert_paid_once(system, job_ids)
    answers = [entry for job_id in job_ids for entry in system.callbacks(job_id)]
    assert {entry["status"] for entry in answers} == {200}
    assert {entry["attempt"] for entry in answers} == {1}


def test_x1_a_receiver_that_is_stopped_and_started_is_called_again_in_time(system: System) -> None:
    with load(system) as job_ids:
        do.replace_in_order(system, "web")

    assert_paid_once(system, job_ids)
    for job_id in job_ids:
        answers = system.callbacks(job_id)
        assert {entry["status"] for entry in answers} <= {200, 503, None}  # None: nobody listened; all are tried again
        assert answers == [] or answers[-1]["status"] == 200


@pytest.mark.subset
def test_x1_a_record_of_a_newer_layout_is_left_alone_until_code_comes_that_reads_it(system: System) -> None:
    newer, ours = system.record("gmicloud"), system.record(CALLS)
    key = f"callsheet:{{0}}:job:{newer}"
    with redis.Redis.from_url(system.redis.url, decode_responses=True) as client:
        client.hset(key, "v", str(SCHEMA_VERSION + 1))
        before = client.hgetall(key), client.zscore("callsheet:{0}:due", newer)
        for step in Step:
            system.nudge(step, [newer])
        system.nudge(Step.SUBMIT, [ours])
        assert system.settled(ours).state == "archived"

        assert (client.hgetall(key), client.zscore("callsheet:{0}:due", newer)) == before
        assert system.posts(newer) == []

        client.hset(key, "v", str(SCHEMA_VERSION))
    assert system.settled(newer).state == "archived"
    assert len(system.posts(newer)) == 1
