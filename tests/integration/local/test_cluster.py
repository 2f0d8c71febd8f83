"""The whole system with its records in a Redis Cluster, and its messages and results in a Redis of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.result import AsyncResult

from deploy.local.stack import Stack
from tests.conftest import WaitUntil
from tests.integration import cluster
from tests.integration.cluster import ClusterServers
from worker.jobs.states import JobState
from worker.services import open_store
from worker.store.keys import Keys

SHARDS = 8
PATIENCE_SECONDS = 60
PICTURE = "https://pictures.example.com/frame-1280x720.png"
JOBS = {f"{provider}-{number}": provider for provider in ("evolink", "apimart") for number in range(4)}


@pytest.fixture
def servers(tmp_path: Path, wait_until: WaitUntil) -> Iterator[ClusterServers]:
    with cluster.running(tmp_path, wait_until) as running:
        yield running


@pytest.fixture
def stack(servers: ClusterServers, redis_url: str, tmp_path: Path) -> Iterator[Stack]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CALLSHEET_REDIS_URL": servers.url,
        "CALLSHEET_SHARDS": str(SHARDS),
        "CALLSHEET_BROKER_URL": redis_url,
        "CALLSHEET_RESULT_BACKEND": redis_url,
    }
    with Stack(tmp_path / "data", env=env, generation_seconds=2.0) as stack:
        yield stack


def test_jobs_end_in_the_bucket_while_a_slot_moves(
    stack: Stack, servers: ClusterServers, redis_url: str, wait_until: WaitUntil
) -> None:
    app = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
    store = open_store(stack.settings)
    spec = {"model": "kling-3.0-turbo", "prompt": "a corgi", "duration": 5, "first_frame": PICTURE}

    def send(job_id: str, provider: str) -> AsyncResult[Any]:
        asked = {**spec, "provider": provider}
        return app.send_task("callsheet.generate", kwargs=asked, task_id=job_id, queue="callsheet")

    results = {job_id: send(job_id, provider) for job_id, provider in JOBS.items()}
    wait_until(lambda: len(list(store.records.scan())) == len(JOBS), PATIENCE_SECONDS)
    servers.move_slot_of(Keys(SHARDS).of("evolink-0")[0])
    told = {job_id: result.get(timeout=PATIENCE_SECONDS)["state"] for job_id, result in results.items()}
    wait_until(lambda: store.due.open_count() == 0, PATIENCE_SECONDS)

    assert set(told.values()) == {"archived"}
    assert {job.id: job.state for job in store.records.scan()} == dict.fromkeys(JOBS, JobState.ARCHIVED)
    assert any(store.callbacks.events(job_id) for job_id in JOBS), "the receiver has stored no callback"
    assert store.audit.breaches() == []
    app.close()
