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
from worker.jobs.states import RETRIES, UNPAID, JobState
from worker.operations.activity import logged
from worker.operations.outcome import Outcome, Pays, checked_id, found, price
from worker.services import Services
from worker.store import Fields, Reply, Word

log = logging.getLogger(__name__)

_FREE_WAY = {"failed(archive)": JobState.GENERATED, "expired": JobState.SUBMITTED}
"""The end of a job -> the state in which it goes on without another attempt."""


@logged("retry")
def retry(
    job_id: str,
    services: Services,
    *,
    pay_again: bool = False,
    by: Actor | None = None,
    attempt: int | None = None,
    preview: bool = False,
) -> Outcome:
    """Let a job that has ended go on, and say what that costs; a *preview* says it and does nothing.

    With *attempt* only after that one: then the same call again never makes two more. Raises `CallsheetError` where
    there is no such job, or only its tombstone.
    """
    before = found(services.store.jobs.get(checked_id(job_id)), job_id)
    if before.is_tombstone:
        raise _no_record(before.id)
    if preview:
        return foreseen(before, has_candidates=bool(services.store.callbacks.candidates(job_id)), pay_again=pay_again)
    reply = run(job_id, services, pay_again=pay_again, by=by, attempt=attempt)
    job = reply.job
    if job is None or job.is_tombstone:
        raise _no_record(before.id)
    if not reply.applied:
        return _undone(job, reply.word)
    facts = {**_facts(before), "state": str(job.state), "attempt": job.attempt}
    if job.state is not JobState.ACCEPTED:
        return Outcome(job.id, _FREE[job.state], f"{job.id} goes on: {_for_free(job, job.state)}", facts=facts)
    words = f"{job.id} goes on: attempt {job.attempt} will be submitted to {job.provider}, {price(job)}; {_known(job)}"
    return Outcome(job.id, "new_attempt", words, facts=facts, pays=_pays(before), costs=job.cost)


def foreseen(job: Job, *, has_candidates: bool, pay_again: bool) -> Outcome:
    """The outcome of a retry by the record of *job*; nothing is done."""
    if job.held not in RETRIES[JobState.ACCEPTED]:
        return _undone(job, "late").as_preview()
    way = None if pay_again else _FREE_WAY.get(job.held)
    if way is not None:
        facts = {**_facts(job), "state": str(way)}
        words = f"{job.id} would go on: {_for_free(job, way)}"
        return Outcome(job.id, _FREE[way], words, facts=facts, is_preview=True)
    if job.call or has_candidates:
        return _undone(job, "asking").as_preview()
    if not pay_again and _pays(job) is Pays.ATTEMPT_AGAIN:
        return _undone(job, "paid").as_preview()
    attempt = job.attempt + 1
    words = f"{job.id} would go on: attempt {attempt} at {job.provider}, {price(job)}; {_known(job)}"
    facts = {**_facts(job), "state": str(JobState.ACCEPTED), "attempt": attempt}
    return Outcome(job.id, "new_attempt", words, facts=facts, pays=_pays(job), costs=job.cost).as_preview()


def is_free(job: Job) -> bool:
    """Whether the job that has ended can go on without another attempt."""
    return job.held in _FREE_WAY


def _no_record(job_id: str) -> CallsheetError:
    return CallsheetError(
        f"only the tombstone of {job_id} is left, which is no record to go on from: send its spec under a new id"
    )


def run(
    job_id: str,
    services: Services,
    *,
    pay_again: bool = False,
    by: Actor | None = None,
    attempt: int | None = None,
) -> Reply:
    """Move the job on; its record says where to.

    `late`: it has not ended without a video. `paid`: only a new attempt is left,
    and an attempt may have been paid for already, which needs *pay_again*.
    `asking`: a callback is yet to be looked at first. `missing`: only a tombstone, or nothing, is left of it.
    """
    job = services.store.jobs.get(job_id)
    if job is None or job.is_tombstone:
        return Reply("missing", job)
    if attempt not in (None, job.attempt):
        return Reply("late", job)
    way = None if pay_again else _FREE_WAY.get(job.held)
    if way is None:
        detail = "a new attempt, to be paid again" if pay_again else "a new attempt"
        reply = services.store.attempts.try_again(
            job_id, attempt=job.attempt, pay_again=pay_again, detail=detail, by=by
        )
    else:
        # the end that the old link had says nothing about a fresh one
        notes: Fields = {"link_expires_at": ""} if way is JobState.GENERATED else {}
        reply = services.store.jobs.move(
            job_id, way, attempt=job.attempt, path="operator", notes=notes, detail="retried by an operator", by=by
        )
    log.info("job.retried", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def _facts(job: Job) -> dict[str, object]:
    return {"state": str(job.state), "attempt": job.attempt, "price": dict(job.cost), "paid": _attempts(job)}


def _known(job: Job) -> str:
    return "; ".join(_attempts(job)) or "nothing was paid before"


_FREE = {JobState.SUBMITTED: "asking", JobState.GENERATED: "archiving"}
"""The ways on that cost nothing: the state in which the job goes on -> code."""


def _for_free(job: Job, way: JobState) -> str:
    if way is JobState.SUBMITTED:
        return f"{job.provider} is asked about {job.request_id} again; nothing is paid for that"
    return f"its video is archived again, with fresh links of {job.provider}; nothing is paid for that"


def _undone(job: Job, word: Word) -> Outcome:
    """The outcome for a job that stays as it is."""
    if word == "paid":
        code = "may_be_paid"
        words = (
            f"{job.id} may have been paid for already ({_known(job)}); a new attempt costs {price(job)} once more: "
            f"callsheet retry {job.id} --pay-again"
        )
    elif word == "asking":
        code = "asking_first"
        words = (
            f"a callback for {job.id} is yet to be looked at, and may bring the video that is paid for: "
            f"try again in {span(60)}, or see callsheet show {job.id}"
        )
    elif job.state is JobState.ARCHIVED:
        code, words = "archived", f"{job.id} has its video already"
    else:
        code = "not_ended"
        words = f"{job.id} has not ended: it is {job.state}; callsheet show {job.id} tells what it waits for"
    pays, costs = (Pays.ATTEMPT_AGAIN, job.cost) if word == "paid" else (Pays.NOTHING, {})
    return Outcome(job.id, code, words, is_done=False, facts=_facts(job), pays=pays, costs=costs)


def _pays(job: Job) -> Pays:
    """The money that another attempt at a job that has ended spends."""
    ended = {**job.ended, job.attempt: job.held}
    is_unpaid = not job.request_ids and UNPAID.issuperset(ended.values())
    return Pays.ATTEMPT if is_unpaid else Pays.ATTEMPT_AGAIN


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
