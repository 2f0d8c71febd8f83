"""Asking: every request to a provider is begun here, so that all workers together keep its limits.

A refused request fails nothing: its job waits, for its turn in the provider's line
or for its own next look. How requests went is reported, which is what Retry-After
and the breaker work by (`worker/store/lua/_limits.lua`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from worker.errors import NoRoomError, NoSuchRequestError, ProviderError, RefusedError, StoreError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.rate_limits import Limits, Operation, Permit, Place, Refusal, Verdict, in_words
from worker.jobs.timing import ms
from worker.jobs.wait_codes import OF_REFUSAL
from worker.providers.diagnosis import LOCKS_OUT
from worker.services import Services
from worker.store import Claim, Fields
from worker.store.counters import Counter
from worker.store.metrics import Histogram

T = TypeVar("T")

log = logging.getLogger(__name__)

MOST_HOLD_SECONDS = 60.0
"""The longest hold of a whole provider by one job's Retry-After: the job itself waits as long as it was told,
the others may be met better."""

PAUSE_SECONDS = 2.0
"""The pause of a provider that says "too many requests", and not until when."""


def in_turn(claim: Claim, services: Services, request: Callable[[], T], *, is_urgent: bool = False) -> T:
    """The answer of *request*, a GET for the claimed job; raises `NoRoomError` when it is not the job's turn."""
    job, limits = claim.job, services.limits(claim.job.provider)
    permit = services.store.limits.take(job.id, limits, Operation.POLL, is_urgent=is_urgent)
    return _begun(job.id, limits, permit, services, request)


def at_once(job_id: str, provider: str, services: Services, request: Callable[[], T]) -> T:
    """The answer of *request*, a GET that stands in no line; raises `NoRoomError` when there is no room for it."""
    limits = services.limits(provider)
    permit = services.store.limits.ask(limits, Operation.POLL, prober=job_id)
    return _begun(job_id, limits, permit, services, request)


def wait_in_line(
    claim: Claim, op: Operation, why: str, reason: str, services: Services, *, is_urgent: bool = False
) -> None:
    """End the claim; the job is called when it is its turn, those first that have waited longest. *why* is a key of
    `rate_limits.REASONS`."""
    job = claim.job
    since = 0 if is_urgent else (job.refused_at or job.accepted_at) if op is Operation.SUBMIT else claim.now
    seconds = services.timing.in_line_seconds * services.rng.uniform(0.9, 1.1)
    due_in_ms = services.timing.wait_ms(job, claim.now, seconds) if op is Operation.SUBMIT else ms(seconds)
    notes: Fields = {"waiting_for": reason, "waits": str(OF_REFUSAL[why])}
    services.store.due.rest(claim, due_in_ms=due_in_ms, notes=notes, waits=Place(op, since))
    log.info("job.lined_up", extra={"job_id": job.id, "reason": reason})


def refused(refusal: Refusal, limits: Limits) -> NoRoomError:
    """The error for a request that was not begun."""
    return NoRoomError(limits.provider, refusal.why, in_words(refusal, limits))


def answered(job_id: str, limits: Limits, op: Operation, services: Services) -> None:
    """Report that an open breaker's probe went well."""
    _report(job_id, limits, op, services, "answered")


def is_locked_out(err: ProviderError) -> bool:
    """Whether the provider answers so whatever is asked: our key is not taken, or nothing is left to pay with."""
    return err.code in LOCKS_OUT


def failed(job_id: str, limits: Limits, op: Operation, services: Services, err: ProviderError) -> None:
    """Report what the provider's answer, or its silence, says of the provider."""
    asked_seconds = err.retry_after or (PAUSE_SECONDS if err.code == ErrorCode.RATE_LIMITED else 0.0)
    hold_seconds = min(MOST_HOLD_SECONDS, asked_seconds)
    outcome: Verdict
    if is_locked_out(err):
        outcome = "locked_out"
    elif isinstance(err, RefusedError | NoSuchRequestError) or (err.status is not None and 400 <= err.status < 500):
        if err.status is None and isinstance(err, RefusedError):
            return  # refused by ourselves, before anything was sent
        outcome = "answered"
    else:
        outcome = "failed"
    _report(job_id, limits, op, services, outcome, why=err.code, hold_ms=ms(hold_seconds))


def _begun(job_id: str, limits: Limits, permit: Permit, services: Services, request: Callable[[], T]) -> T:
    if permit.refusal is not None:
        raise refused(permit.refusal, limits)
    began = services.monotonic()
    try:
        answer = request()
    except ProviderError as err:
        failed(job_id, limits, Operation.POLL, services, err)
        raise
    finally:
        seconds = services.monotonic() - began
        services.store.metrics.observe(Histogram.GET_DURATION, limits.provider, seconds)
    if permit.is_probe:
        answered(job_id, limits, Operation.POLL, services)
    return answer


def _report(
    job_id: str, limits: Limits, op: Operation, services: Services, outcome: Verdict, *, why: str = "", hold_ms: int = 0
) -> None:
    """Tell the store; what it cannot hear now is not worth failing a job for."""
    try:
        was_probe, has_opened = services.store.limits.report(
            limits, op, prober=job_id, outcome=outcome, why=why, hold_ms=hold_ms
        )
        if has_opened:
            services.store.counters.add(
                Counter.PROVIDERS_LOCKED_OUT if outcome == "locked_out" else Counter.BREAKERS_OPENED
            )
    except StoreError as err:
        log.warning("limits.unreported", extra={"job_id": job_id, "reason": str(err)})
        return
    if has_opened:
        log.error("breaker.opened", extra={"provider": limits.provider, "operation": op, "reason": why})
    elif was_probe and outcome == "answered":
        log.warning("breaker.closed", extra={"provider": limits.provider, "operation": op})
