"""A real failover, by Sentinel, to a replica that has lagged: nothing is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import WaitUntil
from tests.integration import failover
from tests.integration.failover import Failover
from tests.integration.steps.conftest import Scene
from worker.errors import StoreError
from worker.jobs.states import JobState
from worker.operations import cancel
from worker.services import Services
from worker.steps import accept, submit
from worker.store import connect
from worker.store.counters import Counter

S = JobState


@pytest.fixture
def servers(tmp_path: Path, wait_until: WaitUntil) -> Iterator[Failover]:
    with failover.running(tmp_path, wait_until) as running:
        yield running


@pytest.fixture
def services(scene: Scene, servers: Failover) -> Iterator[Services]:
    """A worker whose store is found through the sentinel."""
    client = connect(servers.url, timeout_seconds=2)
    yield scene.but(store=scene.another_store(client))
    failover.hang_up(client)


def test_a_job_sent_before_a_failover_that_has_lost_it_is_not_sent_again(
    scene: Scene, servers: Failover, services: Services, wait_until: WaitUntil
) -> None:
    spec = scene.spec("evolink")
    accept.run("job-1", spec, services)
    servers.lag()
    submit.run("job-1", services)
    servers.fail_over()
    wait_until(lambda: _answers(services), 30)
    lost = services.store.jobs.get("job-1")

    cancelled = cancel.run("job-1", services)
    submit.run("job-1", services)

    assert lost is not None
    assert (lost.state, cancelled.word, scene.posts()) == (S.ACCEPTED, "late", 1)
    assert _state(services) is S.SUBMITTED


def test_a_job_that_a_failover_has_forgotten_is_not_paid_again_when_it_is_sent_again(
    scene: Scene, servers: Failover, services: Services, wait_until: WaitUntil
) -> None:
    spec = scene.spec("evolink")
    servers.lag()
    accept.run("job-1", spec, services)
    submit.run("job-1", services)
    servers.fail_over()
    wait_until(lambda: _answers(services), 30)
    lost = services.store.jobs.get("job-1")

    accept.run("job-1", spec, services)
    submit.run("job-1", services)

    assert lost is None
    assert (_state(services), scene.posts()) == (S.SUBMITTED, 1)


def _answers(services: Services) -> bool:
    try:
        services.store.server.ping()
        services.store.counters.add(Counter.STEPS_STALLED)
    except StoreError:
        return False
    return True


def _state(services: Services) -> JobState | None:
    job = services.store.jobs.get("job-1")
    return job.state if job else None
