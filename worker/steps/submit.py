"""Submit: hand an accepted job to its provider, at most one POST per try.

The order is the promise: claim, prepare, durable intent (Redis, then the bucket), POST, report. What
the provider may have taken is never sent again (design section 6, promise 2).
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import cast

from worker.bucket.intents import Begun
from worker.errors import BucketError, NotTakenError, ProviderError, StoreError
from worker.jobs.callback_token import callback_url
from worker.jobs.durations import moment
from worker.jobs.job import Job
from worker.jobs.rate_limits import Limits, Operation, Refusal, in_words
from worker.jobs.spec import JobSpec, parse_spec
from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.providers.base import Provider, Submission
from worker.services import Services
from worker.steps import Step, provider_turns, rollback_guard, submit_report
from worker.steps.submit_images import resolve_images
from worker.store import Claim, Reply

log = logging.getLogger(__name__)


def run(job_id: str, services: Services) -> Step | None:
    """Submit the job if it waits for that; returns the step worth starting at once."""
    claim = services.store.claim(
        job_id,
        states=(JobState.ACCEPTED, JobState.SUBMITTING),
        lease_ms=ms(services.timing.submit_lease_seconds),
        only_due=True,
    )
    if claim is None:
        return None
    job = claim.job
    if job.state is JobState.SUBMITTING:
        return _abandoned(claim, services)
    if claim.candidates:
        detail = "a callback came for a POST that is not on record"
        return _doubtful(claim, services, "callback", detail)
    if _is_overdue(claim, services):
        if begun := rollback_guard.begun_already(job, services):
            return _forgotten(claim, services, begun)
        message = f"no provider took it in time; {job.waiting_for}".strip("; ")
        return submit_report.failed(job, services, "submit_deadline", message, lease=claim.token)
    return _submit(claim, services)


def _is_overdue(claim: Claim, services: Services) -> bool:
    """Whether no provider would take this attempt in time; a later one has a time of its own."""
    job, timing = claim.job, services.timing
    # waiting for its turn is nobody's fault and has a long deadline of its own; then what comes after it counts
    longest = ms(timing.line_deadline_seconds if job.place else timing.submit_deadline_seconds)
    if claim.now - max(job.accepted_at, job.waited_until or 0) <= longest:
        return False
    own = (entry.at for entry in services.store.timeline(job.id) if entry.attempt == job.attempt)
    return claim.now - next(own, job.accepted_at) > longest


def _submit(claim: Claim, services: Services) -> Step | None:
    job = claim.job
    paused_at = services.store.paused().get(job.provider)
    if paused_at is not None:
        reason = f"{job.provider} to be resumed: paused by an operator since {moment(paused_at)}"
        provider_turns.wait_in_line(claim, Operation.SUBMIT, reason, services)
        return None
    provider = services.providers.get(job.provider)
    if provider is None:
        return _wait(claim, services, f"provider {job.provider} to be configured: {job.provider.upper()}_API_KEY")
    spec = parse_spec(json.loads(services.store.spec_json(job.id) or "{}"))
    try:
        images = resolve_images(job, spec, provider, services.bucket)
    except BucketError as err:
        return _wait(claim, services, f"its images to be presigned: {err}")
    limits, cost = services.limits(job.provider), _cost(job, provider, spec)
    if cost is None and limits.daily_budget is not None:
        name = job.provider.upper()
        return _wait(claim, services, f"a price of {job.model}, which the daily budget needs: set {name}_PRICES")
    try:
        rollback_guard.recall(services)
    except BucketError as err:
        return _wait(claim, services, f"the bucket to tell how many POSTs were begun: {err}")
    url = _callback_url(job, provider, services)
    post = partial(provider.submit, spec, images=images, callback_url=url)
    try:
        intent = services.store.begin(
            claim,
            lease_ms_left_needed=ms(services.timing.post_room_seconds),
            notes={
                "begun_at": str(claim.now),
                "kept_in": services.bucket.place,
                **({"waited_until": str(claim.now)} if job.place else {}),
            },
            limits=limits,
            cost=cost or Decimal(0),
        )
    except StoreError as err:
        # whether the intent was written is not known; that nothing was sent is
        log.error("intent.unanswered", extra={"job_id": job.id, "reason": str(err)})
        return submit_report.insist(services, partial(_withdraw, claim, services))
    if intent.word == "rolled_back":
        services.store.count("jobs_rolled_back")
        detail = "Redis has lost POSTs that were begun, and this may be one of them"
        return _doubtful(claim, services, "sweep", detail)
    if intent.refusal is not None:
        return _busy(claim, services, intent.refusal, limits)
    if not intent.applied or intent.job is None:
        return _wait(claim, services, "another try: preparing it took too long, or a callback came first")
    return _send(claim, intent, services, post, spec)


def _send(
    claim: Claim, intent: Reply, services: Services, post: Callable[[], Submission], spec: JobSpec
) -> Step | None:
    """POST what Redis has written down, unless the bucket knows better or time has run out."""
    job, name = cast("Job", intent.job), secrets.token_hex(8)
    try:
        begun = services.bucket.begin(job.id, job.attempt, job.try_no, by=name, at=job.state_at)
    except BucketError as err:
        # nothing was sent, and `_abandoned` knows it by that name
        reason = f"the bucket to keep that it is sent: {err}"
        return submit_report.insist(services, partial(_wait, claim, services, reason, unsent_by=name))
    if begun is not None:
        return submit_report.insist(services, partial(_forgotten, replace(claim, job=job), services, begun))
    if claim.room_seconds(services.monotonic()) < services.timing.post_seconds:
        unsent = NotTakenError(job.provider, "no_time", "the process was held up before it could send")
        return submit_report.insist(services, partial(submit_report.not_taken, job, services, unsent))
    step = submit_report.insist(services, _post(intent, services, post, spec))
    rollback_guard.keep(services)
    return step


def _abandoned(claim: Claim, services: Services) -> Step | None:
    """The lease of a try is over and it reported nothing. Its process POSTs only once the bucket names it."""
    job, lost = claim.job, "the process that sent it was lost"
    if claim.candidates or job.kept_in != services.bucket.place:
        return submit_report.unconfirmed(job, services, lost, path="sweep", lease=claim.token)
    name = job.unsent_by or secrets.token_hex(8)
    try:
        begun = services.bucket.begin(job.id, job.attempt, job.try_no, by=name, at=job.state_at)
    except BucketError as err:
        return _wait(claim, services, f"the bucket to tell whether it was sent: {err}", unsent_by=name)
    if begun is not None:
        return submit_report.unconfirmed(job, services, lost, path="sweep", lease=claim.token)
    reply = services.store.move(
        job.id,
        JobState.ACCEPTED,
        attempt=job.attempt,
        try_no=job.try_no,
        lease=claim.token,
        path="sweep",
        detail="nothing was sent",
    )
    return Step.SUBMIT if reply.applied else None


def _post(intent: Reply, services: Services, post: Callable[[], Submission], spec: JobSpec) -> submit_report.Report:
    """POST; what became of it, as the report that the store must hear. Raises nothing."""
    job = cast("Job", intent.job)
    limits = services.limits(job.provider)
    try:
        submission = post()
    except ProviderError as err:
        provider_turns.failed(job.id, limits, Operation.SUBMIT, services, err)
        return submit_report.refused(intent, services, err)
    except Exception as err:
        # a defect of ours, after the request may have left: money may be spent, so never again
        log.exception("submit.broke", extra={"job_id": job.id})
        return partial(submit_report.unconfirmed, job, services, type(err).__name__)
    if intent.is_probe:
        provider_turns.answered(job.id, limits, Operation.SUBMIT, services)
    log.info("request.taken", extra={"job_id": job.id, "request_id": submission.request_id})
    return partial(submit_report.taken, job, services, submission, spec)


def _withdraw(claim: Claim, services: Services) -> Step | None:
    """Take back an intent after which nothing was sent, if it was written at all."""
    job, reason = claim.job, "the record to be written again"
    reply = services.store.move(
        job.id,
        JobState.ACCEPTED,
        attempt=job.attempt,
        try_no=job.try_no + 1,
        lease=claim.token,
        path="submit",
        due_in_ms=ms(services.timing.retry_seconds(job.failures, services.rng)),
        notes={"waiting_for": reason},
        detail="nothing was sent",
    )
    return None if reply.applied else _wait(claim, services, reason)


def _forgotten(claim: Claim, services: Services, begun: Begun) -> Step | None:
    """A job that was sent once, as the bucket knows, by a Redis that has lost that."""
    services.store.count("jobs_rolled_back")
    detail = "the bucket knows of a POST that Redis has lost"
    return _doubtful(claim, services, "sweep", detail, begun_at=begun.at)


def _doubtful(claim: Claim, services: Services, path: str, detail: str, *, begun_at: int | None = None) -> Step | None:
    """A job that may have been sent though its record says no."""
    job = claim.job
    if begun_at is None:
        # after the last thing on record, and not long before that was noticed
        begun_at = max(job.state_at, claim.now - ms(services.timing.show_after_seconds))
    return submit_report.unconfirmed(job, services, detail, path=path, lease=claim.token, begun_at=begun_at)


def _wait(claim: Claim, services: Services, reason: str, **more: str) -> Step | None:
    job = claim.job
    delay = services.timing.retry_seconds(job.failures, services.rng)
    notes = {"failures": str(job.failures + 1), "waiting_for": reason[:200], **more}
    services.store.rest(claim, due_in_ms=ms(delay), notes=notes)
    log.warning("submit.postponed", extra={"job_id": job.id, "reason": reason})
    return None


def _busy(claim: Claim, services: Services, refusal: Refusal, limits: Limits) -> Step | None:
    """Nothing was begun: the job waits for its turn, unless a turn would not help it."""
    reason = in_words(refusal, limits)
    if refusal.why == "price":
        return _wait(claim, services, reason)
    provider_turns.wait_in_line(claim, Operation.SUBMIT, reason, services)
    return None


def _cost(job: Job, provider: Provider, spec: JobSpec) -> Decimal | None:
    """What the POST will cost at most by what is known now; None: it is not known."""
    rules = provider.models.get(job.model)
    cost = rules.cost(spec) if rules else None
    return Decimal(cost["amount"]) if cost else None


def _callback_url(job: Job, provider: Provider, services: Services) -> str | None:
    settings = services.settings
    if settings.public_url is None or not services.gets_callbacks(provider):
        return None
    return callback_url(settings.public_url, settings.callback_secrets, provider.name, job.id, job.attempt)
