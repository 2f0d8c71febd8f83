"""A job that is sent again once it has ended: the worker itself, on messages like the first one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from celery.result import AsyncResult

from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, QUEUE, Office
from worker.errors import JobFailed
from worker.jobs.job import Job, JobError
from worker.jobs.spec import parse_spec
from worker.jobs.states import JobState
from worker.store import Store, connect

S = JobState
FIELDS = {
    "model": "kling-v3-turbo-image-to-video",
    "provider": "evolink",
    "first_frame": "https://cdn.example.com/frame.png",
}
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def store(office: Office, valkey: Valkey) -> Iterator[Store]:
    with connect(valkey.url) as client:
        yield Store(client, retention_ms=30 * DAY_MS)


def failed(store: Store) -> Job:
    """A job that has failed and whose caller is yet to be told."""
    spec = parse_spec(FIELDS)
    job_id = f"job-{secrets.token_hex(4)}"
    store.jobs.accept(
        job_id,
        spec_json=spec.canonical_json(),
        spec_sha256=spec.sha256,
        provider="evolink",
        model="kling-v3-turbo-image-to-video",
        due_in_ms=DAY_MS,
    )
    error = JobError("submit", "refused", "the provider said no")
    job = store.jobs.move(job_id, S.FAILED, attempt=1, path="submit", error=error, due_in_ms=DAY_MS).job
    assert job is not None
    return job


def closed_job(store: Store) -> Job:
    """The same, told and closed."""
    job = failed(store)
    store.jobs.note(job.id, told="failure -")
    closed = store.jobs.delivered(job.id, ver=job.ver, outputs="result", rest_in_ms=1000).job
    assert closed is not None
    return closed


def send(office: Office, job_id: str, fields: dict[str, Any] | None = None) -> AsyncResult[Any]:
    return office.app.send_task("callsheet.generate", kwargs=fields or FIELDS, task_id=job_id, queue=QUEUE)


def told(result: AsyncResult[Any], wait_until: WaitUntil) -> JobFailed:
    """The name of the exception that the caller gets: the backend may not know our class."""
    wait_until(lambda: result.state == "FAILURE", PATIENCE_SECONDS)
    found = result.result
    assert isinstance(found, JobFailed)
    return found


def test_a_job_that_has_ended_is_told_again_to_whoever_sends_it_again(
    office: Office, store: Store, wait_until: WaitUntil
) -> None:
    """Its result has expired in the backend, or its caller is a new process."""
    closed = closed_job(store)

    error = told(send(office, closed.id), wait_until)

    assert error.args == ("refused", "the provider said no", "submit")
    assert store.jobs.get(closed.id) == closed


def test_a_job_without_a_spec_in_its_message_is_known_by_its_id(
    office: Office, store: Store, wait_until: WaitUntil
) -> None:
    job = closed_job(store)
    result: AsyncResult[Any] = office.app.send_task("callsheet.generate", task_id=job.id, queue=QUEUE)

    assert told(result, wait_until).code == "refused"


def test_a_job_that_is_yet_to_be_told_is_settled_rather_than_told_twice(
    office: Office, store: Store, wait_until: WaitUntil
) -> None:
    job = failed(store)
    store.scripts.client.zadd(store.scripts.keys.of(job.id)[1], {job.id: 1})

    error = told(send(office, job.id), wait_until)
    wait_until(lambda: store.jobs.get(job.id).closed_at, PATIENCE_SECONDS)  # type: ignore[union-attr]

    assert error.code == "refused"


def test_another_spec_for_a_job_that_has_ended_changes_nothing(
    office: Office, store: Store, wait_until: WaitUntil
) -> None:
    closed = closed_job(store)

    result = send(office, closed.id, {**FIELDS, "duration": 9})
    office.works()

    assert result.state == "PENDING"
    assert store.jobs.get(closed.id) == closed
    assert store.counters.all()["spec_conflicts"] >= 1
