"""Restore: what Redis has lost, from the bucket: records of archived jobs, and the requests of jobs that were sent.

A restored record is closed: it answers a sender who sends the job again with its result, and keeps its request ids
from being taken twice. A job of the same spec that was sent again first, and of which no request is known to run, is
ended by what the bucket proves. One whose POST was answered, as its try's object tells, is bound to that request, also
when its outcome was given up as unknown, or when Redis has lost the retry that it came of. All else in Redis stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from worker.bucket.intents import Begun
from worker.errors import BucketError, ManifestError
from worker.jobs import manifest
from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.states import RETRIES, JobState
from worker.services import Services
from worker.steps import adopt, rollback_guard

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

BATCH = 256
PARALLEL_READS = 16
BOUND_BY_ANSWERS = (JobState.ACCEPTED, JobState.UNCONFIRMED, "failed(confirm)")
"""The states of a job that may be bound here; one that is being submitted is its worker's, or the sweep's."""


@dataclass(frozen=True)
class Outcome:
    """The outcome for one job. `word` is one of

    restored    the record is there now (or would be, when only looked for)
    bound       its request, which Redis had lost, is on record now (or would be)
    lost        its request may run, but the record cannot be rebuilt: `reason` says what to do
    known       Redis has a record of the job, or its tombstone
    conflict    one of its request ids belongs to another job, or its request to another provider: nothing was written
    unreadable  `reason` says why
    """

    job_id: str
    word: str
    reason: str = ""


def run(services: Services, *, apply: bool, by: Actor | None = None) -> Iterator[Outcome]:
    """Go through all manifests, then all tries; without *apply* nothing is written. Raises `BucketError`.

    Tries have outcomes only where something is to be done, and never for a job that has a manifest.
    """
    archived = set()
    for outcome in _each(
        services.bucket.manifests.all(), lambda entry: _restored(*entry, services, apply=apply, by=by)
    ):
        archived.add(outcome.job_id)
        yield outcome
    begun = (entry for entry in services.bucket.intents.jobs() if entry[0] not in archived)
    yield from filter(None, _each(begun, lambda entry: _by_answers(*entry, services, apply=apply, by=by)))


def _each(entries: Iterator[T], look: Callable[[T], R]) -> Iterator[R]:
    """The answers of *look* for the entries, in their order; some are read at a time."""
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        while batch := list(islice(entries, BATCH)):
            yield from pool.map(look, batch)


def _restored(job_id: str, key: str, services: Services, *, apply: bool, by: Actor | None) -> Outcome:
    store = services.store
    job = store.jobs.get(job_id)
    if job is not None and (job.is_tombstone or job.state is JobState.ARCHIVED):
        return Outcome(job_id, "known")
    try:
        told = manifest.read(services.bucket.manifests.read(key), job_id=job_id)
    except (ManifestError, BucketError) as err:
        return Outcome(job_id, "unreadable", str(err))
    if job is not None and not told.is_of(job):
        return Outcome(job_id, "known")
    if not apply:
        return Outcome(job_id, "restored")
    reply = (
        store.manifests.restore(told, by)
        if job is None
        else adopt.adopt(job, told, services, path="operator", by=by).word
    )
    word = {"applied": "restored", "taken": "conflict"}.get(reply, "known")
    log.info("job.restored", extra={"job_id": job_id, "outcome": word})
    return Outcome(job_id, word, "another job has its request id" if word == "conflict" else "")


def _by_answers(job_id: str, last_attempt: int, services: Services, *, apply: bool, by: Actor | None) -> Outcome | None:
    """Bind a job by the answer that the bucket has kept; None: there is none, or nothing to be done."""
    job = services.store.jobs.get(job_id)
    try:
        if job is None:
            return _lost(job_id, last_attempt, services)
        if job.attempt + 1 == last_attempt and job.held in RETRIES[JobState.ACCEPTED]:
            return _retried(job, services, apply=apply, by=by)
        if job.is_tombstone or job.held not in BOUND_BY_ANSWERS:
            return None
        begun = rollback_guard.last_begun(job, services)
    except BucketError as err:
        return Outcome(job_id, "unreadable", str(err))
    if begun is None or begun.request_id is None:
        return None
    if apply and rollback_guard.bind(job, begun, services, by) is not None:
        return Outcome(job_id, "bound")
    return _unbound(job, begun, services, apply=apply)


def _retried(job: Job, services: Services, *, apply: bool, by: Actor | None) -> Outcome | None:
    """Retry a job again of which Redis has lost that, where a provider took the attempt: its caller was told of it."""
    attempt = job.attempt + 1
    begun = services.bucket.intents.last_begun(job.id, attempt, 1)
    if job.is_tombstone or begun is None or begun.request_id is None:
        return None
    if not apply or begun.provider not in ("", job.provider):
        return _unbound(job, begun, services, apply=apply)
    detail = f"attempt {attempt}, which Redis had lost"
    reply = services.store.attempts.try_again(job.id, attempt=job.attempt, pay_again=True, detail=detail, by=by)
    if not reply.applied or reply.job is None:
        return None
    if rollback_guard.bind(reply.job, begun, services, by) is None:
        return _unbound(reply.job, begun, services, apply=True)
    return Outcome(job.id, "bound")


def _unbound(job: Job, begun: Begun, services: Services, *, apply: bool) -> Outcome | None:
    """Why a job is not bound to the request that the bucket names."""
    if begun.provider not in ("", job.provider):
        reason = f"{begun.provider} took it as {begun.request_id}, and Redis has it for {job.provider}: look there"
        return Outcome(job.id, "conflict", reason)
    if not apply:
        return Outcome(job.id, "bound")
    now = services.store.jobs.get(job.id)
    if now is None or now.held not in BOUND_BY_ANSWERS:  # somebody has just bound or ended it
        return None
    return Outcome(job.id, "conflict", "another job has its request id")


def _lost(job_id: str, last_attempt: int, services: Services) -> Outcome | None:
    """Advice for a job without a record that a provider took: its spec is not in the bucket."""
    begun = services.bucket.intents.last_begun(job_id, last_attempt, 1)
    if begun is None or begun.request_id is None or begun.at is None:
        return None
    if services.store.clock.now() - begun.at > services.retention_ms():
        return None
    advice = "send the job again, and it is bound to that instead of being paid again"
    if last_attempt > 1:
        advice = f"send the job again; callsheet retry then binds attempt {last_attempt} to that, and pays nothing"
    return Outcome(job_id, "lost", f"{begun.provider} took it as {begun.request_id}: {advice}")


def count(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count the outcomes by word."""
    counted = dict.fromkeys(("restored", "bound", "lost", "known", "conflict", "unreadable"), 0)
    for outcome in outcomes:
        counted[outcome.word] += 1
    return counted
