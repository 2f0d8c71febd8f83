"""Records, messages and results behind Sentinel, by one URL: all of it moves to the new master."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.conftest import WaitUntil
from tests.integration import failover
from tests.integration.failover import Failover
from tests.integration.messaging.conftest import PATIENCE_SECONDS, QUEUE, worker_process
from worker.settings.redis_urls import in_celerys_words


@pytest.fixture
def servers(tmp_path: Path, wait_until: WaitUntil) -> Iterator[Failover]:
    with failover.running(tmp_path, wait_until) as running:
        yield running


@pytest.fixture
def backend(servers: Failover) -> Iterator[Celery]:
    """A backend service's application, told of the sentinels as Celery wants it."""
    url, options = in_celerys_words(servers.url)
    app = Celery("backend", broker=url, backend=url, set_as_current=False)
    app.conf.update(broker_transport_options=options, result_backend_transport_options=options)
    yield app
    failover.hang_up(app.backend.client)  # type: ignore[attr-defined]  # Redis is the backend
    app.close()


@pytest.mark.timeout(180)
def test_a_worker_goes_on_with_the_new_master(
    servers: Failover, backend: Celery, tmp_path: Path, wait_until: WaitUntil
) -> None:
    with worker_process(servers.url, tmp_path, {}) as worker:
        before = _answered(backend, "job-before", wait_until)
        pid = worker.pid
        servers.fail_over()
        after = _answered(backend, "job-after", wait_until)
        lived_on = (worker.is_running, worker.pid) == (True, pid)

    assert (before, after, lived_on) == ("FAILURE", "FAILURE", True)


def _answered(backend: Celery, job_id: str, wait_until: WaitUntil) -> str:
    """The state of a spec that no worker can take, once one has said so; sent again until then, as README.md asks."""

    def is_answered() -> bool:
        try:
            result = backend.AsyncResult(job_id)
            if result.state == "PENDING":
                backend.send_task("callsheet.generate", kwargs={"model": "none"}, task_id=job_id, queue=QUEUE)
            wait_until(lambda: result.state != "PENDING", 5)
        except (AssertionError, OperationalError, redis.RedisError):
            return False
        return True

    wait_until(is_answered, 2 * PATIENCE_SECONDS)
    return str(backend.AsyncResult(job_id).state)
