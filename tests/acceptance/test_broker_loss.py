"""The broker is emptied in the middle: recorded jobs do not notice."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import redis

from tests.acceptance.backend import Backend, a_spec, new_id
from tests.acceptance.conftest import Stage
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Proof
from tests.acceptance.readme import ROOT
from tests.acceptance.system import System

PATIENCE_SECONDS = 60
KEPT = ("callsheet:", "celery-task-meta-")
"""The prefixes of the keys of jobs and results; all others belong to the broker."""


@dataclass(frozen=True)
class Loss:
    """Four recorded jobs, and how many messages of theirs were lost: first on the way in, then on the way out."""

    job_ids: list[str]
    submits: int
    archives: int


def begin(stage: Stage) -> Loss:
    """Before any other job is sent: whoever sends a message would have to send it again."""
    job_ids = [new_id() for _ in range(4)]
    with redis.Redis.from_url(stage.system.redis_url, decode_responses=True) as client:
        with stage.system.frozen("sweeper", "worker"):
            _record(stage.system, job_ids)
            submits = _empty_the_broker(client)["callsheet"]
        with stage.system.frozen("archiver"):
            stage.wait_until(lambda: all(_is_called_back(stage.ledger, job_id) for job_id in job_ids), PATIENCE_SECONDS)
            stage.wait_until(lambda: client.llen("callsheet.archive"), PATIENCE_SECONDS)
            archives = _empty_the_broker(client)["callsheet.archive"]
    return Loss(job_ids, submits, archives)


def test_recorded_jobs_end_though_every_message_is_lost_twice(begun: Loss, backend: Backend, proof: Proof) -> None:
    results = [backend.result(job_id).get(timeout=PATIENCE_SECONDS) for job_id in begun.job_ids]

    assert begun.submits >= 2
    assert begun.archives >= 1
    assert [proof.faults(result) for result in results] == [[]] * 4


def _record(system: System, job_ids: list[str]) -> None:
    """Enqueue as a service with Callsheet installed does: a job is recorded, then nudged."""
    subprocess.run(
        [sys.executable, "-m", "tests.acceptance.enqueue_many"],
        env=system.env,
        cwd=ROOT,
        input=json.dumps({job_id: a_spec(job_id) for job_id in job_ids}),
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )


def _is_called_back(ledger: Ledger, job_id: str) -> bool:
    """Whether the receiver has taken the job's callback."""
    return any(delivery.get("status") == 200 for delivery in ledger.callbacks(job_id))


def _empty_the_broker(client: redis.Redis) -> dict[str, int]:
    """Delete all that is Celery's own; how many messages each queue lost."""
    keys = [key for key in client.scan_iter() if not key.startswith(KEPT)]
    lost = {key: client.llen(key) for key in keys if client.type(key) == "list"}
    client.delete(*keys)
    return lost
