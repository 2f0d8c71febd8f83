"""Archive: get every video of a generated job into the bucket, exactly.

Each run copies the most urgent video there is, whatever job made its message be
sent: after an outage the order of messages is not the order in which links die.
What cannot be archived now is tried again; the verdict `failed(archive)` is given
only after the link's end, and only after looking whether the objects are there
after all. `places.py` decides how many runs there are at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from worker.errors import (
    BucketError,
    CallsheetError,
    DownloadError,
    LeaseLostError,
    LinkDeadError,
    ObjectConflict,
    SlowDownloadError,
    StoreError,
)
from worker.jobs.job import Job, JobError, rows_json
from worker.jobs.states import JobState, MovePath
from worker.jobs.timing import ARCHIVING, ms
from worker.jobs.wait_codes import WaitCode
from worker.services import Services
from worker.steps import Step
from worker.steps.copy_videos import Copied, copy_generated, find_copied
from worker.steps.lease import Lease
from worker.store import Claim, Fields
from worker.store.counters import Counter
from worker.store.metrics import Histogram

log = logging.getLogger(__name__)

NOTHING_BUT_NO_FILM = frozenset({"not_video"})
"""Reasons of a `DownloadError` that are final once a link has ended."""


class Turn(NamedTuple):
    """The job that a run has worked on, and the step that is worth starting at once for it."""

    job_id: str
    following: Step | None


def _nothing() -> None: ...


def run(services: Services, *, is_express: bool = False, on_stall: Callable[[], object] = _nothing) -> Turn | None:
    """Copy the videos of the most urgent job there is; None when there is none.

    An express run takes only a job that nobody has tried to copy, and cuts a download that lasts too long. *on_stall*
    is called, from another thread, when this one hangs: its claim has then been given up.
    """
    claim = claim_most_urgent(services, is_express=is_express)
    if claim is None:
        return None
    most_seconds = services.timing.archive_express_seconds if is_express else None
    try:
        return Turn(claim.job.id, _archive(claim, services, most_seconds, on_stall))
    except CallsheetError as err:
        log.error("step.postponed", extra={"step": Step.ARCHIVE, "job_id": claim.job.id, "reason": str(err)})
    except Exception:  # a defect met by one job; the others wait, and this one's lease ends
        log.exception("step.broke", extra={"step": Step.ARCHIVE, "job_id": claim.job.id})
    return Turn(claim.job.id, None)


def claim_most_urgent(services: Services, *, is_express: bool) -> Claim | None:
    """The first claim to be had of those jobs that `Perishing.most_urgent` names."""
    lease_ms = ms(services.timing.archive_lease_seconds)
    for job_id in services.store.perishing.most_urgent(untried_only=is_express):
        claim = services.store.due.claim(job_id, states=(JobState.GENERATED,), lease_ms=lease_ms, only_due=True)
        if claim is not None:
            return claim
    return None


def _archive(
    claim: Claim, services: Services, most_seconds: float | None, on_stall: Callable[[], object]
) -> Step | None:
    job, lease = claim.job, Lease(claim, services, most_seconds=most_seconds, on_stall=on_stall)
    began = services.monotonic()
    try:
        with lease:
            copied = copy_generated(job, lease, services)
    except LeaseLostError:
        return None
    except SlowDownloadError as err:
        make_room(lease.claim, services, err)
        return None
    except (DownloadError, BucketError) as err:
        return not_now(lease.claim, services, err)
    finally:
        seconds = services.monotonic() - began
        services.store.metrics.observe(Histogram.ARCHIVE_DURATION, job.provider, seconds)
    if not copied.videos:
        return _no_film(lease.claim, copied, services)
    return finish(job, copied, services, path=job.path)


def _no_film(claim: Claim, copied: Copied, services: Services) -> Step | None:
    """End a job whose links lead to nothing but bytes that cannot be checked; they are kept, and told."""
    kept = [link for link in copied.ignored if link.uri]
    message = f"{kept[0].message}; kept unchecked as {' and '.join(str(link.uri) for link in kept)}"
    return _fail(claim, "not_video", message, copied, services, path=claim.job.path)


def _fail(claim: Claim, code: str, message: str, copied: Copied, services: Services, *, path: MovePath) -> Step | None:
    reply = services.store.jobs.move(
        claim.job.id,
        JobState.FAILED,
        attempt=claim.job.attempt,
        path=path,
        lease=claim.token,
        facts={"ignored": rows_json(copied.ignored)} if any(link.uri for link in copied.ignored) else {},
        error=JobError("archive", code, message),
        look_until=claim.now + services.retention_ms(),
        detail=code,
    )
    log.warning("archive.failed", extra={"job_id": claim.job.id, "code": code, "reason": message})
    return Step.DELIVER if reply.applied else None


def make_room(claim: Claim, services: Services, err: SlowDownloadError) -> None:
    """Put the job behind those that nobody has tried; its link has not failed."""
    log.info("archive.made_room", extra={"job_id": claim.job.id, "reason": str(err)})
    services.store.due.rest(claim, due_in_ms=0, notes={"waiting_for": f"a place to archive: {err}"[:200]}, behind=True)


def finish(job: Job, copied: Copied, services: Services, *, path: MovePath) -> Step | None:
    """Record that the films are in the bucket; a fact, whoever holds the lease by now."""
    reply = services.store.jobs.move(
        job.id,
        JobState.ARCHIVED,
        attempt=job.attempt,
        path=path,
        facts=copied.facts(job, services),
        owes_manifest=True,
        detail=f"{sum(video.bytes for video in copied.videos)} bytes",
    )
    if reply.applied:
        services.store.metrics.archived(job.provider, sum(video.bytes for video in copied.videos))
    log.info("video.archived", extra={"job_id": job.id, "outcome": reply.word, "videos": len(copied.videos)})
    if reply.applied and reply.job is not None and job.state is JobState.GENERATED:
        _learn(job, reply.job, services)
    return Step.DELIVER if reply.applied else None


def _learn(job: Job, archived: Job, services: Services) -> None:
    """Keep how long it took from the generation's end to the copy, for estimates; a figure that can be missed."""
    try:
        services.store.durations.learn(job.provider, ARCHIVING, (archived.state_at - job.state_at) / 1000)
    except StoreError as err:
        log.warning("timing.unlearned", extra={"job_id": job.id, "reason": str(err)})


def not_now(claim: Claim, services: Services, err: DownloadError | BucketError) -> Step | None:
    """Try again later, or give the verdict once the link has ended."""
    job = claim.job
    if isinstance(err, ObjectConflict):
        services.store.counters.add(Counter.OBJECT_CONFLICTS)
        log.error("object.conflicted", extra={"job_id": job.id, "reason": str(err)})
    failing_since = _failing_since(claim, err, services)
    if _has_ended(claim, err, failing_since, services):
        return _verdict(claim, services, err)
    services.store.counters.add(Counter.ARCHIVE_RETRIES)
    log.warning("archive.postponed", extra={"job_id": job.id, "reason": str(err)})
    delay = services.timing.archive_retry_seconds(job, claim.now, services.rng)
    notes: Fields = {"failures": str(job.failures + 1), "waiting_for": f"another try to archive: {err}"[:200]}
    if isinstance(err, BucketError):
        notes["waits"] = str(WaitCode.BUCKET)
    if failing_since is not None:
        notes["failing_since"] = str(failing_since)
    # the bucket's failure is no mark against this job's link
    services.store.due.rest(claim, due_in_ms=ms(delay), notes=notes, behind=isinstance(err, DownloadError))
    return None


def _failing_since(claim: Claim, err: DownloadError | BucketError, services: Services) -> int | None:
    """When the first try past the link's end failed, this one or an earlier, Unix ms; None before the end.

    A bucket that does not answer tells nothing of the link, which was not tried.
    """
    job, end = claim.job, services.timing.archive_verdict_at(claim.job)
    if job.failing_since is not None and job.failing_since > end:
        return job.failing_since
    is_tried = isinstance(err, DownloadError | ObjectConflict)
    return claim.now if is_tried and claim.now > end else None


def _has_ended(claim: Claim, err: DownloadError | BucketError, failing_since: int | None, services: Services) -> bool:
    """Whether nothing can be hoped of the job's links any more: the provider's clock alone does not say so."""
    timing = services.timing
    if failing_since is None:  # only a bucket that has been away since keeps a job waiting for so long
        return claim.now > timing.archive_verdict_at(claim.job) + ms(timing.unknown_link_end_seconds)
    is_said = isinstance(err, LinkDeadError) or err.reason in NOTHING_BUT_NO_FILM
    return is_said or claim.now - failing_since >= ms(timing.past_link_end_seconds)


def _verdict(claim: Claim, services: Services, err: DownloadError | BucketError) -> Step | None:
    """Give up what is not in the bucket: a job is archived by the films that are, also by those that a paused worker
    has finished after all."""
    job = claim.job
    try:
        copied = find_copied(job, services, why=str(err))
    except BucketError as unknown:
        # without a look at the bucket there is no verdict
        delay = services.timing.retry_seconds(job.failures, services.rng)
        words = f"the bucket to answer: {unknown}"[:200]
        notes: Fields = {"failures": str(job.failures + 1), "waiting_for": words, "waits": str(WaitCode.BUCKET)}
        services.store.due.rest(claim, due_in_ms=ms(delay), notes=notes)
        return None
    if copied.videos:
        return finish(job, copied, services, path="sweep")
    kept = "".join(f"; kept unchecked as {link.uri}" for link in copied.ignored if link.uri)
    return _fail(claim, err.reason, f"{err}; the provider's link has ended{kept}", copied, services, path="sweep")
