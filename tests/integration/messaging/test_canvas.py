"""A canvas that is nonsense deep inside: the job ends and is told all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.local.s3 import S3Server
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, Office
from tests.integration.messaging.letters import letter
from worker.store import Store

BUCKET = "cancels"
SPEC = {
    "model": "kling-v3-turbo-image-to-video",
    "prompt": "a corgi",
    "first_frame": "https://pictures.example.com/frame-640x640.png",
    "duration": 3,
}


@pytest.fixture(scope="module")
def office(
    valkey: Valkey, s3: S3Server, tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil
) -> Iterator[Office]:
    """A worker that reaches a bucket: a cancel asks it whether anything was sent."""
    s3.create_bucket(BUCKET)
    env = {**s3.env, "CALLSHEET_BUCKET": BUCKET}
    office = Office(valkey.url, tmp_path_factory.mktemp("office"), wait_until, env=env)
    try:
        office.worker.start()
        yield office
    finally:
        office.close()


@pytest.mark.parametrize(
    ("job_id", "embed"),
    [
        ("odd-chord", {"chord": {"task": "a", "kwargs": 5, "options": 7, "subtask_type": "chord"}}),
        ("odd-chain", {"chain": [{"task": "a", "options": 5, "subtask_type": "chain", "kwargs": 3}]}),
        ("odd-links", {"callbacks": [{"task": "a", "args": 1}], "errbacks": [{"task": "a", "args": {"b": 1}}]}),
    ],
)
def test_a_cancelled_job_is_told_whatever_hangs_on_it(
    office: Office, store: Store, wait_until: WaitUntil, job_id: str, embed: Mapping[str, Any]
) -> None:
    store.pauses.pause("evolink")
    office.after(lambda: office.post(letter("callsheet.generate", kwargs=SPEC, embed=embed, headers={"id": job_id})))

    office.app.control.revoke(job_id)

    wait_until(lambda: _told(office, job_id) == "REVOKED", PATIENCE_SECONDS)
    assert "Traceback" not in office.worker.output()


def _told(office: Office, job_id: str) -> str:
    return str(json.loads(office.redis.get(f"celery-task-meta-{job_id}") or '{"status": ""}')["status"])
