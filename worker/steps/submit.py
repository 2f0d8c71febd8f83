"""Submit: hand an accepted job to its provider, at most one POST per try.

The order is the promise: claim, prepare, durable intent (Redis, then the bucket), POST, report (the bucket, then
Redis). A POST that the provider may have taken is never sent again (design section 6, promise 2). A claim that cannot
go on takes nothing back: it waits, and the job is settled as one whose process was lost, by the bucket's word.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Unpack, cast

from worker.bucket.intents import Begun
from worker.errors import BucketError, NotTakenError, ProviderError, RefusedError, StoreError
from worker.jobs.callback_token import callback_url
from worker.jobs.durations import moment
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job
from worker.jobs.money import Basis
from worker.jobs.rate_limits import Limits, Operation, Refusal, in_words
from worker.jobs.spec import JobSpec, parse_spec
from worker.jobs.states import JobState, MovePath
from worker.jobs.timing import ms
from worker.jobs.wait_codes import WaitCode
from worker.providers.base import Provider, Submission
from worker.services import Services
from worker.settings.settings import KEY_NAMES
from worker.steps import Step, earlier_attempts, provider_turns, rollback_guard, submit_report
from worker.steps.submit_images import resolve_images
from worker.store import Claim, Fields, Reply
from worker.store.metrics import Outcome

log = logging.getLogger(__name__)


def run(job_id: str, services: Services) -> Step | None:
    """Submit the job if it waits for that; returns the step worth starting at once."""
    claim = services.store.due.claim(
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
    ended = _ended(claim, services)
    if claim.candidates or ended:
        return _not_to_be_sent(claim, ended, services)
    if job.woken_from is not None:
        return earlier_attempts.ask_first(claim, job.woken_from, services)
    if job.not_before is not None and job.not_before > claim.now:
        services.store.due.rest(claim, due_in_ms=services.timing.rest_ms(claim.now, job.not_before))
        return None
    return _submit(claim, services)


def _not_to_be_sent(claim: Claim, ended: str, services: Services) -> Step | None:
    """A callback tells of a POST that is not on record, or the time to send it is over: the bucket has the word."""
    job = claim.job
    try:
        begun = rollback_guard.rule_out(job, services, "" if claim.candidates else ended)
    except BucketError as err:
        return _wait(claim, services, f"the bucket to tell whether it was sent: {err}", WaitCode.BUCKET)
    if begun is not None:
        return rollback_guard.recover(job, begun, services, path="sweep", lease=claim.token)
    if claim.candidates:
        detail = "a callback came for a POST that is not on record"
        return rollback_guard.unconfirm(job, None, services, detail, path="callback", lease=claim.token)
    first = {ErrorCode.GAVE_UP: f"give_up_after of its spec, {job.give_up_after} s, is over"}
    message = f"{first.get(ErrorCode(ended), 'no provider took it in time')}; {job.waiting_for}".strip("; ")
    return submit_report.failed(job, services, ended, message, lease=claim.token)


def _ended(claim: Claim, services: Services) -> str:
    """The code of what ends this attempt, as no provider would take it in time; empty: nothing does."""
    job, timing = claim.job, services.timing

    def ends(since: int) -> str:
        if job.give_up_after is not None and claim.now > since + 1000 * job.give_up_after:
            return ErrorCode.GAVE_UP
        return ErrorCode.SUBMIT_DEADLINE if claim.now > timing.submit_until(job, since) else ""

    if not ends(job.accepted_at) or job.attempt == 1:
        return ends(job.accepted_at)
    # a later attempt has a time of its own
    own = (entry.at for entry in services.store.history.timeline(job.id) if entry.attempt == job.attempt)
    return ends(next(own, job.accepted_at))


def _submit(claim: Claim, services: Services) -> Step | None:
    job = claim.job
    paused_at = services.store.pauses.paused().get(job.provider)
    if paused_at is not None:
        reason = f"{job.provider} to be resumed: paused by an operator since {moment(paused_at)}"
        provider_turns.wait_in_line(claim, Operation.SUBMIT, "paused", reason, services)
        return None
    provider = services.providers.get(job.provider)
    if provider is None:
        reason = f"provider {job.provider} to be configured: {KEY_NAMES.get(job.provider, job.provider)}"
        return _wait(claim, services, reason, WaitCode.CONFIGURATION)
    spec = parse_spec(json.loads(services.store.history.spec_json(job.id) or "{}"))
    try:
        images = resolve_images(job, spec, provider, services.bucket)
    except RefusedError as err:
        return submit_report.failed(job, services, err.code, err.detail, lease=claim.token)
    except BucketError as err:
        return _wait(claim, services, f"its images to be presigned: {err}", WaitCode.BUCKET)
    limits, (cost, basis) = services.limits(job.provider), _cost(job, provider, spec)
    if why := _too_dear(cost, spec):
        return submit_report.failed(job, services, ErrorCode.OVER_MAX_COST, why, lease=claim.token)
    if cost is None and (cap := next(limits.caps.holding(job.tenant), None)):
        name = job.provider.upper()
        reason = f"a price of {job.model}, which {cap.name.setting} needs: set {name}_PRICES"
        return _wait(claim, services, reason, WaitCode.CONFIGURATION)
    url = callback_url_of(job, provider, services)
    post = partial(provider.submit, spec, images=images, callback_url=url, reference=job.reference)
    try:
        intent = services.store.attempts.begin(
            claim,
            lease_ms_left_needed=ms(services.timing.post_room_seconds),
            notes={
                "begun_at": str(claim.now),
                "kept_in": services.bucket.intents.place,
                **({"waited_until": str(claim.now)} if job.place else {}),
            },
            limits=limits,
            cost=cost,
            basis=basis,
        )
    except StoreError as err:
        # not known to be written, and somebody else's by now, perhaps: it is not taken back
        log.error("intent.unanswered", extra={"job_id": job.id, "reason": str(err)})
        return submit_report.insist(
            services, partial(_wait, claim, services, "the record to be written again", WaitCode.WORKER)
        )
    if intent.refusal is not None:
        return _busy(claim, services, intent.refusal, limits)
    if not intent.applied or intent.job is None:
        reason = "another try: preparing it took too long, or a callback came first"
        return _wait(claim, services, reason, WaitCode.WORKER)
    return _send(claim, intent, services, post, spec)


def _send(
    claim: Claim, intent: Reply, services: Services, post: Callable[[], Submission], spec: JobSpec
) -> Step | None:
    """POST what Redis has written down, unless the bucket knows better or time has run out."""
    job, name = cast("Job", intent.job), secrets.token_hex(8)
    try:
        begun = services.bucket.intents.begin(job.id, job.attempt, job.try_no, by=name, at=_begun_at(job))
        last = services.bucket.intents.last_begun(job.id, job.attempt, job.try_no) if begun else None
    except BucketError as err:
        # nothing was sent, and `_abandoned` knows it by that name
        reason = f"the bucket to keep that it is sent: {err}"
        return submit_report.insist(services, partial(_wait, claim, services, reason, WaitCode.BUCKET, unsent_by=name))
    if last is not None:
        recover = partial(rollback_guard.recover, job, last, services, path="sweep", lease=claim.token)
        return submit_report.insist(services, recover)
    if begun is not None:
        return submit_report.insist(services, partial(_unsent, claim, job, services, path="submit"))
    begun = Begun(_begun_at(job), name)
    if intent.is_probe and (closed := _still_closed(job, services)):
        return submit_report.tell(submit_report.refused(intent, services, closed), job, begun, services)
    if claim.room_seconds(services.monotonic()) < services.timing.post_seconds:
        unsent = NotTakenError(job.provider, "no_time", "the process was held up before it could send")
        return submit_report.tell(submit_report.refused(intent, services, unsent), job, begun, services)
    return submit_report.tell(_post(intent, services, post, spec), job, begun, services)


def _begun_at(job: Job) -> int:
    """When the try under way was begun, Unix ms, as its intent says."""
    return job.begun_at or job.state_at


def _still_closed(job: Job, services: Services) -> NotTakenError | None:
    """Why an open breaker's probe is not worth a POST yet, as a GET that costs nothing tells; None: it is."""
    provider = services.providers[job.provider]
    try:
        provider_turns.at_once(job.id, provider.name, services, provider.check_key)
    except ProviderError as err:
        detail = f"nothing was sent, as a look at the account went wrong: {err.detail}"
        return NotTakenError(job.provider, err.code, detail, status=err.status, provider_code=err.provider_code)
    return None


def _abandoned(claim: Claim, services: Services) -> Step | None:
    """The lease of a try is over and it reported nothing. Its process POSTs only once the bucket names it."""
    job, lost = claim.job, "the process that sent it was lost"
    if job.kept_in != services.bucket.intents.place:
        return submit_report.unconfirmed(job, services, lost, path="sweep", lease=claim.token)
    name = job.unsent_by or secrets.token_hex(8)
    try:
        services.bucket.intents.withhold(job.id, job.attempt, job.try_no, by=name, at=_begun_at(job))
        begun = rollback_guard.last_begun(job, services)
    except BucketError as err:
        return _wait(claim, services, f"the bucket to tell whether it was sent: {err}", WaitCode.BUCKET, unsent_by=name)
    if begun is not None:
        return rollback_guard.believe(job, begun, services, lost, path="sweep", lease=claim.token)
    if claim.candidates:
        detail = "a callback came for a POST that is not on record"
        return rollback_guard.unconfirm(job, None, services, detail, path="callback", lease=claim.token)
    return _unsent(claim, job, services, path="sweep")


def _unsent(claim: Claim, job: Job, services: Services, *, path: MovePath) -> Step | None:
    """No process has sent this try, and by the bucket none can: another one follows."""
    reply = services.store.jobs.move(
        job.id,
        JobState.ACCEPTED,
        attempt=job.attempt,
        try_no=job.try_no,
        lease=claim.token,
        path=path,
        detail="nothing was sent",
    )
    return Step.SUBMIT if reply.applied else None


def _post(intent: Reply, services: Services, post: Callable[[], Submission], spec: JobSpec) -> submit_report.Outcome:
    """POST; what became of it. Raises nothing."""
    job = cast("Job", intent.job)
    limits, began = services.limits(job.provider), services.monotonic()
    try:
        submission = post()
    except ProviderError as err:
        _count(job, services, _outcome(err), began)
        provider_turns.failed(job.id, limits, Operation.SUBMIT, services, err)
        return submit_report.refused(intent, services, err)
    except Exception as err:
        # a defect of ours, after the request may have left: money may be spent, so never again
        _count(job, services, Outcome.UNCONFIRMED, began)
        log.exception("submit.broke", extra={"job_id": job.id})
        return submit_report.Outcome(partial(submit_report.unconfirmed, job, services, type(err).__name__))
    if intent.is_probe:
        provider_turns.answered(job.id, limits, Operation.SUBMIT, services)
    _count(job, services, Outcome.TAKEN, began)
    report = partial(submit_report.taken, job, services, submission, spec)
    return submit_report.Outcome(report, request_id=submission.request_id)


def _count(job: Job, services: Services, outcome: Outcome, began: float) -> None:
    services.store.metrics.submitted(job.provider, outcome, services.monotonic() - began)


def _outcome(err: ProviderError) -> Outcome:
    """Read the meaning of a POST's error for the request."""
    if isinstance(err, NotTakenError):
        return Outcome.NOT_TAKEN
    return Outcome.REFUSED if isinstance(err, RefusedError) else Outcome.UNCONFIRMED


def _wait(claim: Claim, services: Services, reason: str, waits: WaitCode, /, **more: Unpack[Fields]) -> Step | None:
    job = claim.job
    delay = services.timing.retry_seconds(job.failures, services.rng)
    notes: Fields = {
        "failures": str(job.failures + 1),
        "waiting_for": reason[:200],
        "waits": str(waits),
        **(more or {}),
    }
    services.store.due.rest(claim, due_in_ms=services.timing.wait_ms(job, claim.now, delay), notes=notes)
    log.warning("submit.postponed", extra={"job_id": job.id, "reason": reason})
    return None


def _busy(claim: Claim, services: Services, refusal: Refusal, limits: Limits) -> Step | None:
    """Nothing was begun: the job waits for its turn, unless a turn would not help it."""
    job = claim.job
    reason = in_words(refusal, limits, job.tenant)
    if refusal.why == "price" or refusal.is_of_tenant:
        return _wait(claim, services, reason, WaitCode.BUDGET)
    provider_turns.wait_in_line(claim, Operation.SUBMIT, refusal.why, reason, services)
    return None


def _cost(job: Job, provider: Provider, spec: JobSpec) -> tuple[Decimal | None, str]:
    """The largest cost of the POST by present knowledge, and its basis; None: it is not known."""
    rules = provider.models.get(job.model)
    cost = rules.cost(spec) if rules else None
    return (Decimal(cost["amount"]), cost["basis"]) if cost else (None, Basis.UNKNOWN)


def _too_dear(cost: Decimal | None, spec: JobSpec) -> str:
    """Why the POST would pass what the spec allows it to cost; empty: it would not."""
    if spec.max_cost is None or (cost is not None and cost <= Decimal(spec.max_cost)):
        return ""
    return f"{'its price is unknown' if cost is None else f'it costs {cost} USD'}, and max_cost is {spec.max_cost} USD"


def callback_url_of(job: Job, provider: Provider, services: Services) -> str | None:
    """The URL at which *provider* calls us back about the job's current attempt; None: it is not told."""
    settings = services.settings
    if settings.public_url is None or not services.gets_callbacks(provider):
        return None
    return callback_url(settings.public_url, settings.callback_secrets, provider.name, job.id, job.attempt)
