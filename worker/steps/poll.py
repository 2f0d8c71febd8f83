"""Poll: ask providers how requests are doing, and believe the answer.

Polling is what the clock does to a job that waits on a provider; a callback
only makes it happen sooner, unless its signature held: that one is believed as it is. Many jobs of one provider come
in one task and share its keep-alive connections.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

from worker.errors import NoRoomError, NoSuchRequestError, ProviderError, StoreError
from worker.guard.text import clean
from worker.jobs.error_codes import UNUSABLE, ErrorCode
from worker.jobs.job import Job, JobError
from worker.jobs.money import Basis, usd
from worker.jobs.rate_limits import Operation
from worker.jobs.spec import words_in
from worker.jobs.states import JobState, MovePath
from worker.jobs.timing import ms
from worker.jobs.wait_codes import WaitCode
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.services import Services
from worker.settings.settings import KEY_NAMES
from worker.steps import Step, earlier_attempts, provider_turns, reconcile
from worker.store import Claim, Fields
from worker.store.counters import Counter
from worker.store.metrics import Histogram
from worker.store.move_arguments import MoneyFacts

log = logging.getLogger(__name__)

DETAIL_CHARACTERS = 300
"""Of a provider's own words, as many as a record keeps for a job that waits."""

MISSED_SECONDS = 300.0
"""A callback that has not come so long after a poll has found the same is missed."""

MOST_DIFFERENCE = Decimal("0.01")
"""Of its price: a cost that differs by more is counted."""

POLLED = (JobState.SUBMITTED, JobState.UNCONFIRMED)


def run(job_id: str, services: Services) -> Step | None:
    """Poll one job if it waits for that."""
    lease_ms = ms(services.timing.poll_lease_seconds)
    claim = services.store.due.claim(job_id, states=POLLED, lease_ms=lease_ms, only_due=True)
    if claim is None or not earlier_attempts.make_room(claim, services):
        return None
    if claim.job.state is JobState.UNCONFIRMED:
        return reconcile.run(claim, services)
    return look(claim, services)


def look(claim: Claim, services: Services) -> Step | None:
    """Find out how a claimed job's request is doing and move the job by that."""
    job = claim.job
    heard = _heard(claim, services)
    believed = (event for event in heard if event.is_verified or not services.settings.confirm_callbacks)
    if (event := next(believed, None)) is not None:
        return _apply(claim, event, "callback", services)
    provider = services.providers.get(job.provider)
    if provider is None or job.request_id is None:
        reason = f"provider {job.provider} to be configured: {KEY_NAMES.get(job.provider, job.provider)}"
        return _try_later(claim, services, reason, waits=WaitCode.CONFIGURATION)
    try:
        event = provider_turns.in_turn(claim, services, partial(provider.fetch, job.request_id), is_urgent=bool(heard))
    except NoRoomError as err:
        provider_turns.wait_in_line(claim, Operation.POLL, err.code, err.detail, services, is_urgent=bool(heard))
        return None
    except NoSuchRequestError as err:
        return _unknown_there(claim, services, err)
    except ProviderError as err:
        return _try_later(claim, services, f"{job.provider} to answer ({_told(err, job, services)})", err.retry_after)
    is_true = _judge(claim, heard, event, services)
    return _apply(claim, event, "callback" if is_true else "poll", services)


def _heard(claim: Claim, services: Services) -> list[ProviderEvent]:
    """The terminal callbacks for the job's request that nothing has denied yet, the oldest first."""
    if not claim.events:
        return []
    stored = services.store.callbacks.events(claim.job.id)
    own = [event for event in stored if event.is_terminal and event.request_id == claim.job.request_id]
    return [event_json.load(event.text) for event in own]


def _judge(claim: Claim, heard: Sequence[ProviderEvent], event: ProviderEvent, services: Services) -> bool:
    """Whether the provider's own answer bears out a callback; those that it denies are counted and forgotten.

    A word that we do not know denies nothing.
    """
    if event.kind is not EventKind.UNKNOWN and any(told.kind is not event.kind for told in heard):
        services.store.callbacks.contradict(claim.job.id, seen_until=claim.now)
        services.store.counters.add(Counter.CALLBACKS_CONTRADICTED)
        log.warning("callback.contradicted", extra={"job_id": claim.job.id, "provider": claim.job.provider})
    return any(told.kind is event.kind for told in heard)


def _apply(claim: Claim, event: ProviderEvent, path: MovePath, services: Services) -> Step | None:
    """Move the claimed job by what its provider said of it."""
    if event.kind is EventKind.GENERATED:
        return _generated(claim.job, event, services, path)
    if event.kind is EventKind.FAILED:
        return _failed(claim, event, services, path)
    return _pending(claim, event, services)


def _generated(job: Job, event: ProviderEvent, services: Services, path: MovePath) -> Step | None:
    reply = services.store.jobs.move(
        job.id,
        JobState.GENERATED,
        attempt=job.attempt,
        path=path,
        facts=_usage(event),
        notes={"generated_by": path, "progress": "100", "polls": str(job.polls + 1)},
        links=event.links,
        callback_in_ms=_callback_in_ms(job, path, services),
        money=MoneyFacts(paid=event.paid),
    )
    if reply.applied and event.paid is not None:
        _compare(job, event.paid, services)
    if reply.applied and job.state is JobState.SUBMITTED:
        _learn(job, path, reply.job, services)
    return Step.ARCHIVE if reply.applied else None


def _compare(job: Job, paid: int, services: Services) -> None:
    """Count a generation that did not cost what its price says."""
    priced = job.money.get(job.attempt)
    if priced is None or not priced.is_priced or priced.basis == Basis.PROVIDER:
        return
    if abs(paid - priced.amount) > priced.amount * MOST_DIFFERENCE:
        services.store.counters.add(Counter.COSTS_DIFFER)
        told = {"job_id": job.id, "provider": job.provider, "usd": usd(paid), "price": usd(priced.amount)}
        log.warning("cost.differs", extra=told)


def _callback_in_ms(job: Job, path: MovePath, services: Services) -> int | None:
    """Until when a callback is awaited that tells what a poll has found; None: none is, or it came."""
    provider = services.providers.get(job.provider)
    if path != "poll" or job.state is not JobState.SUBMITTED or provider is None:
        return None
    return ms(MISSED_SECONDS) if services.gets_callbacks(provider) else None


def _learn(job: Job, path: MovePath, moved: Job | None, services: Services) -> None:
    """Keep how long the generation took, for the first poll of the next; a figure that can be missed."""
    services.store.metrics.observe(Histogram.GENERATION_POLLS, job.provider, job.polls + 1)
    if job.submitted_at is None or moved is None:
        return
    waited_seconds = (moved.state_at - job.submitted_at) / 1000
    services.store.metrics.observe(Histogram.GENERATION_DURATION, job.provider, waited_seconds)
    was_called, is_first_look = path == "callback", job.polls == 0
    try:
        known = services.store.durations.took(job.provider, job.model) if is_first_look and not was_called else ()
        took = services.timing.took_seconds(waited_seconds, known, was_called=was_called, is_first_look=is_first_look)
        services.store.durations.learn(job.provider, job.model, took, job.kind)
    except StoreError as err:
        log.warning("timing.unlearned", extra={"job_id": job.id, "reason": str(err)})


def _failed(claim: Claim, event: ProviderEvent, services: Services, path: MovePath) -> Step | None:
    """Believe that the generation has failed; for a day the provider is still asked, slowly: some finish it later."""
    job = claim.job
    hide = _prompts(job, services)
    told = clean(event.error_message, hide=hide) or f"{job.provider} says {clean(event.status, hide=hide)}"
    code = event.error_code or ErrorCode.GENERATION_FAILED
    if job.is_final and job.state is JobState.FAILED:
        return None  # the same again: whoever looks at final jobs says when to look once more
    error = JobError("generate", code, told, event.provider_code)
    return _fail(claim, error, services, path, _usage(event), charged=services.charges_failures(job.provider))


def _fail(
    claim: Claim, error: JobError, services: Services, path: MovePath, facts: Fields, *, charged: bool | None
) -> Step | None:
    job = claim.job
    reply = services.store.jobs.move(
        job.id,
        JobState.FAILED,
        attempt=job.attempt,
        path=path,
        lease=claim.token,  # an answer that has grown old must not fail what has a video by now
        facts=facts,
        notes={"polls": str(job.polls + 1)},
        error=error,
        look_until=claim.now + ms(services.timing.doubt_seconds),
        callback_in_ms=_callback_in_ms(job, path, services),
        money=MoneyFacts(charged=charged),
        detail=f"{error.code}: {error.message}",
    )
    if reply.applied:
        why = {"code": error.code, "provider_code": error.provider_code, "reason": error.message}
        log.error("generation.failed", extra={"job_id": job.id, "provider": job.provider, **why})
    return Step.DELIVER if reply.applied else None


def _told(err: ProviderError, job: Job, services: Services) -> str:
    """Code and words of an error, fit for the record: an answer may repeat the prompt."""
    detail = clean(err.detail, DETAIL_CHARACTERS, hide=_prompts(job, services))
    log.warning("poll.unanswered", extra={"job_id": job.id, "code": err.code, "reason": detail})
    return f"{err.code}: {detail}"


def _prompts(job: Job, services: Services) -> list[str]:
    """The words that no text of the provider's may repeat."""
    return words_in(json.loads(services.store.history.spec_json(job.id) or "{}"))


def _pending(claim: Claim, event: ProviderEvent, services: Services) -> Step | None:
    job, status = claim.job, event.status
    notes: Fields = {}
    if event.kind is EventKind.UNKNOWN:
        status = clean(status, hide=_prompts(job, services))
        seen = {"job_id": job.id, "provider": job.provider, "status": status}
        services.store.counters.add(Counter.UNUSABLE_SUCCESSES if event.is_unusable else Counter.UNKNOWN_STATUSES)
        if event.is_unusable:
            log.error("success.unusable", extra={**seen, "code": event.error_code})
        else:
            log.warning("status.unknown", extra=seen)
    if event.error_code != job.unusable:
        notes["unusable"] = event.error_code
        notes["unusable_at"] = str(job.unusable_at or claim.now) if event.error_code else ""
    if _is_overdue(claim, services) or (event.is_unusable and _was_unusable_long(claim, services)):
        return _expire(claim, services, event.error_code, status)
    changed = event.progress is not None and event.progress > job.progress
    reply = services.store.due.rest(
        claim,
        due_in_ms=ms(_next_poll_seconds(claim, services)),
        facts={"progress": str(event.progress)} if changed else {},
        notes={"polls": str(job.polls + 1), "failures": "0", "waiting_for": f"{job.provider}: {status}", **notes},
    )
    if changed and reply.job is not None and not reply.job.is_final:
        services.results.started(reply.job)
    return None


def _is_overdue(claim: Claim, services: Services) -> bool:
    is_waiting = claim.job.state is JobState.SUBMITTED
    return is_waiting and _waited_seconds(claim) > services.timing.generate_deadline_seconds


def _was_unusable_long(claim: Claim, services: Services) -> bool:
    """Whether a job that waits for it has been told "done" for long, without a video that can be used."""
    job = claim.job
    if job.state is not JobState.SUBMITTED or job.unusable_at is None:
        return False
    return claim.now - job.unusable_at > ms(services.timing.unusable_seconds)


def _expire(claim: Claim, services: Services, unusable: str, status: str = "") -> Step | None:
    """Give up waiting; the provider is still asked, slowly. A success that was never usable ends as what it is."""
    job = claim.job
    if unusable:
        message = f"{job.provider} says {status or 'that it is done'}, but {UNUSABLE.get(unusable, '')}"
        # to the provider it is no failure, so its word on failures does not tell that it costs nothing
        charged = services.charges_failures(job.provider) or None
        return _fail(claim, JobError("generate", unusable, message), services, "sweep", {}, charged=charged)
    reply = services.store.jobs.move(
        job.id,
        JobState.EXPIRED,
        attempt=job.attempt,
        path="sweep",
        lease=claim.token,
        look_until=claim.now + services.retention_ms(),
        detail="no end of the generation in time",
    )
    return Step.DELIVER if reply.applied else None


def _unknown_there(claim: Claim, services: Services, err: NoSuchRequestError) -> Step | None:
    """A new request may not be shown yet; an old one may come back, until the deadline."""
    job = claim.job
    if _waited_seconds(claim) > services.timing.show_after_seconds:
        services.store.counters.add(Counter.REQUESTS_UNKNOWN_THERE)
        log.error("request.vanished", extra={"job_id": job.id, "request_id": job.request_id})
    return _try_later(
        claim, services, f"{job.provider} to know the request ({_told(err, job, services)})", err.retry_after
    )


def _try_later(
    claim: Claim,
    services: Services,
    reason: str,
    retry_after: float | None = None,
    *,
    waits: WaitCode = WaitCode.PROVIDER,
) -> Step | None:
    job = claim.job
    if _is_overdue(claim, services):
        return _expire(claim, services, job.unusable)
    if job.is_final:
        delay = services.timing.look_again_seconds
    else:
        delay = services.timing.retry_seconds(job.failures, services.rng, retry_after)
    notes: Fields = {"polls": str(job.polls + 1), "failures": str(job.failures + 1), "waits": str(waits)}
    notes["waiting_for"] = reason
    services.store.due.rest(claim, due_in_ms=ms(delay), notes=notes)
    return None


def _next_poll_seconds(claim: Claim, services: Services) -> float:
    job = claim.job
    if job.is_final:
        return services.timing.look_again_seconds
    calls_back = services.gets_callbacks(services.providers[job.provider])
    return services.timing.next_poll_seconds(_waited_seconds(claim), calls_back=calls_back, rng=services.rng)


def _waited_seconds(claim: Claim) -> float:
    since = claim.job.submitted_at or claim.job.accepted_at
    return max(0.0, (claim.now - since) / 1000)


def _usage(event: ProviderEvent) -> Fields:
    return {"usage": json.dumps(event.usage)} if event.usage else {}
