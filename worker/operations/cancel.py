"""Cancel: stop an attempt that no provider has heard of; ask the provider to stop one that it has taken, where it can.

What the provider makes of that is its own affair: the job goes on until its own answer says so.
"""

from __future__ import annotations

import logging
from functools import partial

from worker.errors import BucketError, ProviderError
from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.states import UNPAID, JobState
from worker.operations.activity import logged
from worker.operations.outcome import Outcome, checked_id, found, price
from worker.providers.base import Cancelled
from worker.services import Services
from worker.steps import provider_turns, rollback_guard
from worker.store import Reply

log = logging.getLogger(__name__)


@logged("cancel")
def cancel(
    job_id: str, services: Services, by: Actor | None = None, *, attempt: int | None = None, preview: bool = False
) -> Outcome:
    """Cancel the job where that still saves its money, and say honestly where it does not.

    With *attempt* only that one. A *preview* changes nothing, in Redis and in the bucket. Raises `CallsheetError` where
    there is no such job.
    """
    if preview:
        return _preview(found(services.store.jobs.get(checked_id(job_id)), job_id), services).as_preview()
    reply = run(checked_id(job_id), services, by, attempt=attempt)
    job = found(reply.job, job_id)
    if reply.applied:
        return Outcome(job_id, "cancelled", f"{_attempt(job)} is cancelled: no provider heard of it, {_paid(job)}")
    if reply.word == "unknown":
        return _unknown(job_id)
    return _asked_there(job, services, by) if _can_ask(job, services) else _undone(job)


def _preview(job: Job, services: Services) -> Outcome:
    """Tell what the record and the bucket say of a cancel now."""
    has_candidates = bool(services.store.callbacks.candidates(job.id))
    if job.state is JobState.ACCEPTED:
        try:
            begun = rollback_guard.last_begun(job, services)
        except BucketError:
            return _unknown(job.id)
        if begun is not None and begun.ended != JobState.CANCELLED:
            words = f"too late: the bucket knows of a POST of {job.id} that Redis has lost ({price(job)}); it goes on"
            return Outcome(job.id, "too_late", words, is_done=False)
    if _can_ask(job, services):
        return Outcome(
            job.id, "asked", f"{job.provider} would be asked to stop {job.request_id}; {_goes_on(job)}", False
        )
    return foreseen(job, has_candidates=has_candidates)


def _can_ask(job: Job, services: Services) -> bool:
    provider = services.providers.get(job.provider)
    is_there = job.state is JobState.SUBMITTED and job.request_id is not None
    return is_there and provider is not None and provider.can_cancel


def _asked_there(job: Job, services: Services, by: Actor | None) -> Outcome:
    """Ask the provider to stop the request, and have it asked at once what came of it."""
    provider = services.providers[job.provider]
    cancel_there = partial(provider.cancel, str(job.request_id))
    try:
        answer = provider_turns.at_once(job.id, provider.name, services, cancel_there)
    except ProviderError as err:
        log.info("cancel.unasked", extra={"job_id": job.id, "reason": err.code})
        answer = Cancelled.UNKNOWN
    services.store.due.look_now(job.id, detail=f"{provider.name} was asked to cancel it: {answer}", by=by)
    words = {
        Cancelled.ASKED: f"{provider.name} was asked to stop {job.request_id}; {_goes_on(job)}",
        Cancelled.TOO_LATE: f"too late: {provider.name} does not stop {job.request_id} any more; {_goes_on(job)}",
        Cancelled.UNKNOWN: f"{provider.name} did not tell whether it stops {job.request_id}; {_goes_on(job)}",
    }
    return Outcome(job.id, str(answer), words[answer], is_done=False)


def _goes_on(job: Job) -> str:
    return f"whether its cost stands ({price(job)}) is the provider's to say, and the job goes on until it has ended"


def foreseen(job: Job, *, has_candidates: bool) -> Outcome:
    """The outcome of a cancel by the record alone; nothing is done. For an accepted job the bucket may know better."""
    if job.state is not JobState.ACCEPTED or has_candidates:
        return _undone(job).as_preview()
    words = f"{_attempt(job)} would be cancelled: by the record no provider has heard of it, {_paid(job)}"
    return Outcome(job.id, "cancelled", words, is_preview=True)


def _undone(job: Job) -> Outcome:
    """The outcome for a job that is not cancelled now: because it was before, or because it is too late."""
    job_id = job.id
    if job.state is JobState.CANCELLED:
        return Outcome(job_id, "cancelled", f"{_attempt(job)} was cancelled before; {_paid(job)}")
    if job.is_final:
        return Outcome(job_id, "final", f"{job_id} has ended already: it is {job.state}", is_done=False)
    return Outcome(job_id, "too_late", f"too late: {_where(job)}", is_done=False)


def _unknown(job_id: str) -> Outcome:
    words = (
        f"{job_id} is not cancelled: S3 does not answer, and only the bucket can tell that it was never sent; "
        f"see callsheet doctor, then callsheet cancel {job_id} again"
    )
    return Outcome(job_id, "unknown", words, is_done=False)


def run(job_id: str, services: Services, by: Actor | None = None, *, attempt: int | None = None) -> Reply:
    """Cancel the job while its current attempt is `accepted` and neither a callback nor the bucket tells of a POST.

    Else the reply says `late` (or `repeat`: it was cancelled before), and its record how the job stands.
    `unknown`: S3 did not tell whether it was sent, so nothing is done, and nothing may be said of money.
    """
    job = services.store.jobs.get(job_id)
    if job is None or attempt not in (None, job.attempt):
        reply = Reply("late" if job else "missing", job)
    else:
        reply = _cancelled(job, services, by)
    log.info("job.cancel_asked", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def _cancelled(job: Job, services: Services, by: Actor | None) -> Reply:
    if job.state is not JobState.ACCEPTED:
        # no move: Redis may be set back to `accepted` meanwhile, of which the bucket was not asked
        return Reply("repeat" if job.state is JobState.CANCELLED else "late", job)
    try:
        begun = rollback_guard.rule_out(job, services, JobState.CANCELLED)
    except BucketError as err:
        log.warning("intent.unread", extra={"job_id": job.id, "reason": str(err)})
        return Reply("unknown", job)
    if begun is not None and begun.ended != JobState.CANCELLED:
        rollback_guard.recover(job, begun, services, path="operator")
        return Reply("late", services.store.jobs.get(job.id) or job)
    return services.store.jobs.move(
        job.id,
        JobState.CANCELLED,
        attempt=job.attempt,
        path="operator",
        detail="cancelled by the caller",
        by=by,
    )


def _attempt(job: Job) -> str:
    return job.id if job.attempt == 1 else f"attempt {job.attempt} of {job.id}"


def _paid(job: Job) -> str:
    """A phrase on the cost of earlier attempts."""
    if job.request_ids or not UNPAID.issuperset(job.ended.values()):
        return f"nothing was paid for it; an earlier attempt was handed to {job.provider}, and its cost stands"
    return "nothing was paid"


def _where(job: Job) -> str:
    """Why the job cannot be cancelled, and what becomes of it."""
    provider = job.provider
    if job.state is JobState.GENERATED:
        return f"{provider} has made the video of {job.id}, its cost stands ({price(job)}); it is being archived"
    if job.request_id is not None:
        return (
            f"{provider} has {job.id} as {job.request_id}, its cost stands ({price(job)}); "
            "the job goes on and its video will be archived"
        )
    return (
        f"{job.id} is {job.state}: {provider} may have it, and then its cost stands ({price(job)}); "
        "the job goes on until that is known"
    )
