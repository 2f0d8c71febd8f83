"""Retry: move a job that has ended on, the way that costs nothing where there is one.

Archive again, ask again, or, where money may be spent a second time only with
leave, a new attempt (design section 3).
"""

from __future__ import annotations

import json
import logging

from worker.errors import CallsheetError
from worker.jobs.actor import Actor
from worker.jobs.durations import span
from worker.jobs.job import Job
from worker.jobs.states import UNPAID, JobState
from worker.operations.outcome import Outcome, checked_id, found, price
from worker.services import Services
from worker.store import Reply

log = logging.getLogger(__name__)

_FREE_WAY = {"failed(archive)": JobState.GENERATED, "expired": JobState.SUBMITTED}
"""The end of a job -> the state in which it goes on without another attempt."""


def retry(job_id: str, services: Services, *, pay_again: bool = False, by: Actor | None = None) -> Outcome:
    """Let a job that has ended go on, and say what that costs; raises `CallsheetError` where there is no such job."""
    before = found(services.store.get(checked_id(job_id)), job_id)
    reply = run(job_id, services, pay_again=pay_again, by=by)
    job = reply.job
    if job is None or job.is_tombstone:
        raise CallsheetError(
            f"only the tombstone of {before.id} is left, which is no record to go on from: send its spec under a new id"
        )
    facts = {"state": str(job.state), "attempt": job.attempt, "price": dict(job.cost), "paid": _attempts(job)}
    if reply.applied:
        return Outcome(job.id, *_DONE[job.state](job), facts=facts)
    return Outcome(job.id, *_undone(job, reply.word), is_done=False, facts=facts)


def run(job_id: str, services: Services, *, pay_again: bool = False, by: Actor | None = None) -> Reply:
    """Move the job on; its record says where to.

    `late`: it has not ended without a video. `paid`: only a new attempt is left,
    and an attempt may have been paid for already, which needs *pay_again*.
    `asking`: a callback is yet to be looked at first. `missing`: only a tombstone, or nothing, is left of it.
    """
    job = services.store.get(job_id)
    if job is None or job.is_tombstone:
        return Reply("missing", job)
    way = None if pay_again else _FREE_WAY.get(job.held)
    if way is None:
        detail = "a new attempt, to be paid again" if pay_again else "a new attempt"
        reply = services.store.try_again(job_id, attempt=job.attempt, pay_again=pay_again, detail=detail, by=by)
    else:
        # the end that the old link had says nothing about a fresh one
        notes = {"link_expires_at": ""} if way is JobState.GENERATED else {}
        reply = services.store.move(
            job_id, way, attempt=job.attempt, path="operator", notes=notes, detail="retried by an operator", by=by
        )
    log.info("job.retried", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def _again(job: Job) -> tuple[str, str]:
    known = "; ".join(_attempts(job)) or "nothing was paid before"
    return (
        "new_attempt",
        f"{job.id} goes on: attempt {job.attempt} will be submitted to {job.provider}, {price(job)}; {known}",
    )


def _asked(job: Job) -> tuple[str, str]:
    return "asking", f"{job.id} goes on: {job.provider} is asked about {job.request_id} again; nothing is paid for that"


def _archived(job: Job) -> tuple[str, str]:
    return (
        "archiving",
        f"{job.id} goes on: its video is archived again, with fresh links of {job.provider}; nothing is paid for that",
    )


_DONE = {JobState.ACCEPTED: _again, JobState.SUBMITTED: _asked, JobState.GENERATED: _archived}


def _undone(job: Job, word: str) -> tuple[str, str]:
    """Why the job stays as it is."""
    if word == "paid":
        return "may_be_paid", (
            f"{job.id} may have been paid for already ({'; '.join(_attempts(job))}); a new attempt costs {price(job)} "
            f"once more: callsheet retry {job.id} --pay-again"
        )
    if word == "asking":
        return "asking_first", (
            f"a callback for {job.id} is yet to be looked at, and may bring the video that is paid for: "
            f"try again in {span(60)}, or see callsheet show {job.id}"
        )
    if job.state is JobState.ARCHIVED:
        return "archived", f"{job.id} has its video already"
    return "not_ended", f"{job.id} has not ended: it is {job.state}; callsheet show {job.id} tells what it waits for"


def _attempts(job: Job) -> list[str]:
    """A phrase for each attempt that has ended: as what, and whether it was paid for."""
    ended = dict(job.ended)
    if job.is_final:
        ended[job.attempt] = job.held
    return [_entry(job, attempt, word) for attempt, word in sorted(ended.items())]


def _entry(job: Job, attempt: int, word: str) -> str:
    request_id = job.request_ids.get(attempt)
    if request_id is not None:
        billed = f", billed {json.dumps(dict(job.usage))}" if attempt == job.attempt and job.usage else ""
        return f"attempt {attempt} ended as {word}: {job.provider} took it as {request_id}{billed}"
    if word in UNPAID:
        return f"attempt {attempt} ended as {word}: not paid for"
    return f"attempt {attempt} ended as {word}: not known whether {job.provider} took it"
