"""`callsheet restore`: a count first, the records on request, and each manifest that cannot be used by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cli.conftest import VIDEO, Lives, Run
from worker.bucket import client as s3
from worker.jobs.manifest import manifest_of
from worker.jobs.states import JobState
from worker.store import Store


@pytest.fixture
def lost(store: Store, lives: Lives, environment: dict[str, str], bucket_name: str) -> Any:
    """Two jobs that only the bucket remembers."""
    client, _ = s3.connect()
    for job_id in ("j1", "j2"):
        lives.accept(job_id)
        lives.submit(job_id)
        lives.close(lives.archive(job_id))
        job = store.jobs.get(job_id)
        assert job is not None
        key = f"callsheet/2026/11/20/{job_id}/job.json"
        client.put_object(
            Bucket=bucket_name, Key=key, Body=json.dumps(manifest_of(job, store.history.spec_json(job.id))).encode()
        )
    store.scripts.client.flushall()
    yield client
    client.close()


def test_without_apply_it_only_counts(callsheet: Run, store: Store, lost: Any) -> None:
    done = callsheet("restore")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "2 of 2 jobs in the bucket are missing in Redis; 0 are known; to restore them: callsheet restore --apply\n"
    )
    assert store.jobs.get("j1") is None


def test_with_apply_the_records_are_there_again(callsheet: Run, store: Store, lost: Any) -> None:
    done = callsheet("restore", "--apply", "--reason", "the disk died")

    job = store.jobs.get("j1")
    [entry] = store.history.entries("j1")
    assert (bool(entry.actor), entry.reason) == (True, "the disk died")
    assert done.stdout == "2 of 2 jobs in the bucket are restored; 0 were known already\n"
    assert job is not None
    assert job.videos == (VIDEO,)
    assert store.audit.breaches() == []


def test_a_manifest_that_cannot_be_used_is_named(callsheet: Run, bucket_name: str, lost: Any) -> None:
    lost.put_object(Bucket=bucket_name, Key="callsheet/2026/11/20/j3/job.json", Body=b"{}")

    done = callsheet("restore", "--apply", "--json")

    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    counted = {"restored": 2, "bound": 0, "lost": 0, "known": 0, "conflict": 0, "unreadable": 1}
    assert documents[-1] == {"applied": True, **counted}
    assert "the manifest of j3 cannot be read" in documents[2]["reason"]
    assert done.stderr == "Error: jobs in the bucket that could not be used: 1; each is named above\n"


@pytest.fixture
def answered(store: Store, lives: Lives, bucket_name: str) -> Iterator[None]:
    """Two jobs that a provider took, as the bucket has kept: Redis has one as never sent, of the other nothing."""
    lives.accept("j1")
    client, _ = s3.connect()
    for job_id in ("j1", "j2"):
        told = {"begun_at": store.clock.now(), "by": "a", "request_id": f"r-{job_id}", "provider": "evolink"}
        key = f"callsheet/.callsheet/intents/{job_id}/1-1"
        client.put_object(Bucket=bucket_name, Key=key, Body=json.dumps(told).encode())
    yield
    client.close()


def test_requests_that_redis_has_lost_are_counted_without_apply(callsheet: Run, store: Store, answered: None) -> None:
    done = callsheet("restore")

    assert done.returncode == 0
    assert done.stdout == (
        "0 of 0 jobs in the bucket are missing in Redis; 0 are known; to restore them: callsheet restore --apply\n"
        "bound to requests that the bucket has kept, with --apply: 1\n"
        "taken by a provider, without a record: 1; each is named above, send them again\n"
    )
    assert done.stderr == (
        "j2: evolink took it as r-j2: send the job again, and it is bound to that instead of being paid again\n"
    )
    job = store.jobs.get("j1")
    assert job is not None
    assert job.request_id is None


def test_requests_that_redis_has_lost_are_bound_with_apply(callsheet: Run, store: Store, answered: None) -> None:
    done = callsheet("restore", "--apply")

    job = store.jobs.get("j1")
    assert done.returncode == 0
    assert "bound to requests that the bucket has kept: 1\n" in done.stdout
    assert job is not None
    assert (job.state, job.request_id) == (JobState.SUBMITTED, "r-j1")


def test_an_unreachable_bucket_is_one_clear_line(callsheet: Run) -> None:
    done = callsheet("restore", env={"CALLSHEET_BUCKET": "no-such-bucket-anywhere"})

    assert done.returncode == 1
    assert done.stderr.startswith("Error: bucket: ")
    assert len(done.stderr.splitlines()) == 1
