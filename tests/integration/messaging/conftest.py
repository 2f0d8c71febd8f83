"""A real worker on queues into which anybody may put anything."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult

from deploy.local.health import log_says
from deploy.local.processes import Process
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from worker.messaging import signatures
from worker.store import Store, connect

ROOT = Path(__file__).parents[3]
QUEUE = "callsheet"
PATIENCE_SECONDS = 30


class Office:
    """One worker for all queues, and a backend's view of it; it signs with *secret*, where the worker wants that."""

    def __init__(
        self,
        url: str,
        logs: Path,
        wait_until: WaitUntil,
        *,
        broker: str | None = None,
        secret: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.app = Celery("backend", broker=broker or url, backend=url, set_as_current=False)
        self.app.conf.task_create_missing_queue_type = "quorum"  # RabbitMQ asks; Redis does not
        self.redis = redis.Redis.from_url(url)
        self.worker = worker_process(url, logs, {"CALLSHEET_BROKER_URL": broker or url, **(env or {})})
        self._secret = secret
        self._wait_until = wait_until
        self._numbers = itertools.count()

    def post(self, raw: bytes) -> None:
        """Put *raw* into the queue as it is."""
        self.redis.lpush(QUEUE, raw)

    def after(self, act: Callable[[], object]) -> str:
        """The worker's log from *act* until it has done the next piece of work, in the same process."""
        pid, heard = self.worker.pid, len(self.worker.output())
        act()
        self.works()
        assert (self.worker.is_running, self.worker.pid) == (True, pid)
        return self.worker.output()[heard:]

    def works(self) -> None:
        """Wait until the worker has refused a spec, which is the least that it can be asked to do."""
        job_id = f"sign-of-life-{next(self._numbers)}"
        spec = {"model": "none"}
        result: AsyncResult[object] = self.app.send_task(
            "callsheet.generate", kwargs=spec, task_id=job_id, queue=QUEUE, headers=self.signed(job_id, spec)
        )
        self._wait_until(lambda: result.state == "FAILURE" or not self.worker.is_running, PATIENCE_SECONDS)

    def signed(self, job_id: str, spec: Mapping[str, Any]) -> dict[str, str]:
        """The headers that a backend adds to its message."""
        return {signatures.HEADER: signatures.signature(self._secret, job_id, spec)} if self._secret else {}

    def close(self) -> None:
        self.worker.stop()
        self.redis.close()
        self.app.close()


def worker_process(url: str, logs: Path, env: Mapping[str, str]) -> Process:
    """A worker for all queues, not started."""
    queues = "callsheet,callsheet.archive,callsheet.sweep"
    options = ["--queues", queues, "--concurrency", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    return Process(
        "worker",
        [sys.executable, "-m", "celery", "-A", "worker", "worker", *options],
        directory=ROOT,
        logs=logs,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONUNBUFFERED": "1",
            "CALLSHEET_REDIS_URL": url,
            "CALLSHEET_BUCKET": "bucket",
            "EVOLINK_API_KEY": "key",
            "EVOLINK_BASE_URL": "https://127.0.0.1:1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
            **env,
        },
        is_ready=log_says(r"\bready\."),
    )


@pytest.fixture(scope="module")
def office(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Iterator[Office]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    office = Office(valkey.url, tmp_path_factory.mktemp("office"), wait_until)
    try:
        office.worker.start()
        yield office
    finally:
        office.close()


@pytest.fixture
def store(office: Office, valkey: Valkey) -> Iterator[Store]:
    """The office's records."""
    with connect(valkey.url) as connection:
        yield Store(connection, retention_ms=1000)
