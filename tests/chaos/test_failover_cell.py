"""A failover amid submits, by a real Sentinel to a replica that has lagged, in real time and with nothing forced.

A worker's slots stand between claim and intent when the master dies; other workers and a sweep go on beside them.
The new master knows none of those claims: each job is claimed anew while its first claimant still insists.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.conftest import WaitUntil
from tests.integration import failover
from tests.integration.failover import Failover
from tests.integration.steps.conftest import Scene
from tests.integration.steps.meddling import meddled_store, once
from worker.errors import CallsheetError, StoreError
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, accept, submit, sweep
from worker.store import Store, connect

pytestmark = [pytest.mark.timeout(400)]

ROUNDS = 20
JOBS = [f"job-{n}" for n in range(6)]
POST_SECONDS = (1.5, 5.0)
"""The provider's times, by turns: a POST that is short of the failover, and one that outlasts it."""


@pytest.fixture
def servers(tmp_path: Path, wait_until: WaitUntil) -> Iterator[Failover]:
    with failover.running(tmp_path, wait_until) as running:
        yield running


@pytest.fixture
def hire(scene: Scene, servers: Failover, round_no: int) -> Iterator[Callable[[], Services]]:
    """Makes workers, each with a connection of its own and the real clocks."""
    clients: list[redis.Redis] = []
    post_seconds = POST_SECONDS[round_no % len(POST_SECONDS)]

    def make() -> Services:
        clients.append(connect(servers.url, timeout_seconds=2))
        store = Store(clients[-1], retention_ms=scene.services.retention_ms())
        services = scene.meddled("apimart", before_submit=lambda: time.sleep(post_seconds))
        return replace(services, store=store, monotonic=time.monotonic, sleep=time.sleep)

    yield make
    for client in clients:
        failover.hang_up(client)


def hold_slots(
    services: Services, have_claimed: threading.Barrier, has_died: threading.Event
) -> list[threading.Thread]:
    """A slot of one worker for each job, which stands between its claim and its intent until the master has died."""

    def slot(job_id: str) -> None:
        def stand() -> None:
            have_claimed.wait(30)
            assert has_died.wait(60)

        store = meddled_store(services.store, {"attempts.begin": once(stand)}, {})
        with suppress(CallsheetError):
            submit.run(job_id, replace(services, store=store))

    return started(threading.Thread(target=slot, args=(job_id,)) for job_id in JOBS)


def others_work(services: Services, has_ended: threading.Event) -> None:
    """Sweep once a second and run what is nudged, as the Procfile's processes do."""

    def run(job_id: str) -> None:
        with suppress(CallsheetError):
            submit.run(job_id, services)

    runs: list[threading.Thread] = []

    def publish(step: Step, job_ids: Sequence[str]) -> None:
        if step is Step.SUBMIT:
            runs.extend(started(threading.Thread(target=run, args=(job_id,)) for job_id in job_ids))

    while not has_ended.wait(1.0):
        with suppress(CallsheetError):
            sweep.run(services, publish, lambda step: False)
    for thread in runs:
        thread.join()


def started(threads: Iterator[threading.Thread] | Sequence[threading.Thread]) -> list[threading.Thread]:
    running = list(threads)
    for thread in running:
        thread.start()
    return running


def are_sent(services: Services) -> bool:
    try:
        jobs = [services.store.jobs.get(job_id) for job_id in JOBS]
    except StoreError:
        return False
    return all(job is not None and job.state is JobState.SUBMITTED for job in jobs)


@pytest.mark.parametrize("round_no", range(ROUNDS))
def test_d4_a_failover_amid_submits_pays_for_each_job_once(
    scene: Scene, servers: Failover, hire: Callable[[], Services], wait_until: WaitUntil, round_no: int
) -> None:
    watcher = hire()
    for job_id in JOBS:
        accept.run(job_id, scene.spec("apimart", job_id), watcher)
    servers.lag()
    have_claimed, has_died, has_ended = threading.Barrier(len(JOBS) + 1), threading.Event(), threading.Event()
    slots = hold_slots(hire(), have_claimed, has_died)
    have_claimed.wait(30)

    crowd = threading.Thread(target=others_work, args=(hire(), has_ended))
    crowd.start()
    servers.fail_over()
    has_died.set()
    wait_until(lambda: are_sent(watcher), 240)
    has_ended.set()
    for thread in (*slots, crowd):
        thread.join()

    assert {job_id: len(scene.created(job_id)) for job_id in JOBS} == dict.fromkeys(JOBS, 1)
