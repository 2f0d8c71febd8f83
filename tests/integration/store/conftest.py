"""A store on a real Valkey with a clock that tests move, and jobs brought to any state in one call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.integration.ledger_check import differences, has_all_records
from worker.jobs.job import Job, JobError, Link, Video, videos_json
from worker.jobs.states import JobState
from worker.store import Arrival, Claim, Fields, Reply, Store, connect

S = JobState
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
RETENTION = 30 * DAY
LEASE = MINUTE
JOB = "job-1"
ANY_STATE = tuple(S)
VIDEO = Video("s3://bucket/job-1/1-1.mp4", 1000, "ab" * 32, 5.0, 1920, 1080)
GAVE_UP = JobError("accept", "gave_up", "its time to begin is over")
REFUSED = JobError("submit", "refused", "the provider said no")
OUTCOME_UNKNOWN = JobError("confirm", "outcome_unknown", "nobody ever told")
GENERATION_FAILED = JobError("generate", "nsfw", "the provider gave up")
LINK_DEAD = JobError("archive", "link_dead", "the link has ended")


class Clock:
    """The time that the store is told, Unix ms."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds


class Lives:
    """Brings jobs to a state by the ways they really take. Request ids are `r1` unless told otherwise."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def accepted(self, job_id: str = JOB, *, spec: str = "{}", request: str | None = None, due_in_ms: int = 0) -> Reply:
        sha256 = hashlib.sha256(spec.encode()).hexdigest()
        return self.store.jobs.accept(
            job_id,
            spec_json=spec,
            spec_sha256=sha256,
            provider="evolink",
            model="kling",
            request=request,
            due_in_ms=due_in_ms,
        )

    def claimed(self, job_id: str = JOB, lease_ms: int = LEASE) -> Claim:
        claim = self.store.due.claim(job_id, states=ANY_STATE, lease_ms=lease_ms)
        assert claim is not None, f"{job_id} could not be claimed"
        return claim

    def submitting(self, job_id: str = JOB) -> Claim:
        self.accepted(job_id)
        claim = self.claimed(job_id)
        assert self.store.attempts.begin(claim).applied
        return claim

    def not_taken(self, job_id: str = JOB, *, try_no: int) -> Reply:
        return self.store.jobs.move(job_id, S.ACCEPTED, attempt=1, try_no=try_no, path="submit")

    def unconfirmed(self, job_id: str = JOB) -> Job:
        self.submitting(job_id)
        return self._moved(self.store.jobs.move(job_id, S.UNCONFIRMED, attempt=1, path="submit", due_in_ms=MINUTE))

    def outcome_unknown(self, job_id: str = JOB, *, look_until: int | None = None) -> Job:
        self.unconfirmed(job_id)
        return self._moved(
            self.store.jobs.move(
                job_id, S.FAILED, attempt=1, path="sweep", error=OUTCOME_UNKNOWN, look_until=look_until
            )
        )

    def bound(self, job_id: str = JOB, request_id: str = "r1", *, attempt: int = 1, due_in_ms: int = MINUTE) -> Reply:
        return self.store.attempts.bind(
            job_id, attempt=attempt, provider="evolink", request_id=request_id, path="submit", due_in_ms=due_in_ms
        )

    def submitted(self, job_id: str = JOB, request_id: str = "r1", *, due_in_ms: int = MINUTE) -> Job:
        self.submitting(job_id)
        return self._moved(self.bound(job_id, request_id, due_in_ms=due_in_ms))

    def generated(self, job_id: str = JOB, *, links: tuple[Link, ...] = ()) -> Job:
        self.submitted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.GENERATED, attempt=1, path="poll", links=links))

    def generation_failed(self, job_id: str = JOB) -> Job:
        self.submitted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.FAILED, attempt=1, path="poll", error=GENERATION_FAILED))

    def expired(self, job_id: str = JOB, *, look_until: int | None = None) -> Job:
        self.submitted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.EXPIRED, attempt=1, path="sweep", look_until=look_until))

    def archive_failed(self, job_id: str = JOB, *, look_until: int | None = None) -> Job:
        self.generated(job_id)
        return self._moved(
            self.store.jobs.move(job_id, S.FAILED, attempt=1, path="sweep", error=LINK_DEAD, look_until=look_until)
        )

    def archived(self, job_id: str = JOB, *, owes_manifest: bool = False) -> Job:
        self.generated(job_id)
        return self._moved(self.store_archived(job_id, owes_manifest=owes_manifest))

    def store_archived(self, job_id: str = JOB, *, owes_manifest: bool = False) -> Reply:
        facts: Fields = {"videos": videos_json((VIDEO,))}
        return self.store.jobs.move(
            job_id, S.ARCHIVED, attempt=1, path="poll", facts=facts, owes_manifest=owes_manifest
        )

    def given_up(self, job_id: str = JOB) -> Job:
        self.accepted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.FAILED, attempt=1, path="submit", error=GAVE_UP))

    def refused(self, job_id: str = JOB) -> Job:
        self.submitting(job_id)
        return self._moved(self.store.jobs.move(job_id, S.FAILED, attempt=1, path="submit", error=REFUSED))

    def cancelled(self, job_id: str = JOB) -> Job:
        self.accepted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.CANCELLED, attempt=1, path="operator"))

    def told(self, job: Job) -> Reply:
        return self.store.jobs.delivered(job.id, ver=job.ver, outputs="result", rest_in_ms=MINUTE)

    def closed(self, job: Job) -> Job:
        """*job*, final, with all it owes paid."""
        self.told(job)
        reply = self.store.jobs.delivered(job.id, ver=job.ver, outputs="manifest", rest_in_ms=MINUTE)
        assert reply.job is not None
        assert not reply.job.is_open
        return reply.job

    def called(
        self, job_id: str = JOB, request_id: str = "r1", *, text: str = "done", attempt: int = 1, terminal: bool = True
    ) -> Arrival:
        """One delivery; *text* is what it says: the same text is the same event."""
        return self.store.callbacks.arrive(
            job_id,
            attempt=attempt,
            request_id=request_id,
            fingerprint=f"{request_id}/{text}",
            is_terminal=terminal,
            event_json=f'{{"says": "{text}"}}',
        )

    def job(self, job_id: str = JOB) -> Job:
        job = self.store.jobs.get(job_id)
        assert job is not None
        return job

    @staticmethod
    def _moved(reply: Reply) -> Job:
        assert reply.applied
        assert reply.job is not None
        return reply.job


BRINGS: dict[str, Callable[[Lives], object]] = {
    "accepted": Lives.accepted,
    "submitting": Lives.submitting,
    "unconfirmed": Lives.unconfirmed,
    "submitted": Lives.submitted,
    "generated": Lives.generated,
    "archived": Lives.archived,
    "failed(accept)": Lives.given_up,
    "failed(submit)": Lives.refused,
    "failed(confirm)": Lives.outcome_unknown,
    "failed(generate)": Lives.generation_failed,
    "failed(archive)": Lives.archive_failed,
    "expired": Lives.expired,
    "cancelled": Lives.cancelled,
}
"""Every held word -> what brings a job there."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis, clock: Clock) -> Iterator[Store]:
    """A store in which, after every test, open <=> exactly one due entry, and the ledger is what the records make."""
    store = Store(client, retention_ms=RETENTION, clock=clock, monotonic=lambda: clock.now / 1000)
    yield store
    assert store.audit.breaches() == []
    if has_all_records(store):
        assert differences(store) == []


@pytest.fixture
def lives(store: Store) -> Lives:
    return Lives(store)
