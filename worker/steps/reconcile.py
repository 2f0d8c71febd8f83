"""Reconcile: find out whether an unconfirmed POST was taken, without sending it again (but see `resend.py`).

What can tell: the answer that the bucket has kept, a callback's request id read with our own key
(a *candidate*: an unsigned callback proves nothing), our own name for the request where the provider knows it, and its
list where it echoes our payload.
When none does by the deadline, the job is `failed(outcome_unknown)`; while S3 is away the deadline waits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from worker.bucket.intents import Begun
from worker.errors import BucketError, LeaseLostError, NoRoomError, NoSuchRequestError, ProviderError
from worker.guard.text import clean
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job, JobError
from worker.jobs.spec import JobSpec, parse_spec, words_in
from worker.jobs.states import JobState
from worker.jobs.timing import ms
from worker.providers import event_json
from worker.providers.adapter import CLOCK_SKEW_MS
from worker.providers.base import Provider, ProviderEvent
from worker.services import Services
from worker.steps import Step, adopt, provider_turns, resend, rollback_guard
from worker.steps.submit_images import as_sent
from worker.store import Claim, Fields
from worker.store.counters import Counter

T = TypeVar("T")

MOST_SKEW_MS = 24 * 60 * 60 * 1000
"""A clock further off says nothing: it was never set."""

log = logging.getLogger(__name__)

TROUBLE_CHARACTERS = 160
UNREADABLE_TIME = "unreadable_time"


def run(claim: Claim, services: Services) -> Step | None:
    """Settle a claimed job whose POST may or may not have been taken."""
    job = claim.job
    provider = services.providers.get(job.provider)
    asked_to_wait, was_held_back, trouble, begun = 0.0, False, "", None
    try:
        begun = rollback_guard.last_begun(job, services)
        if not job.failures and (step := adopt.look(job, _begun_at(job, begun), services)):
            return step
    except BucketError as err:
        log.info("intent.unread", extra={"job_id": job.id, "reason": str(err)})
        was_held_back = True
    if begun is not None and (begun.request_id or begun.ended):
        step = rollback_guard.believe(job, begun, services, "", path="sweep", lease=claim.token)
        if step is not None:
            return step
    if provider is not None:
        inquiry = _Inquiry(claim, provider, services, _begun_at(job, begun))
        try:
            if any(_bound(job, event, services) for event in inquiry.claimants()):
                return Step.POLL
        except LeaseLostError:
            return None
        if resend.may(claim, provider, inquiry.spec, services):
            found, wait = resend.run(claim, provider, inquiry.spec, services)
            if found is not None and _bound(job, found, services):
                return Step.POLL
            if wait:
                services.store.due.rest(claim, due_in_ms=ms(wait), notes={"failures": str(job.failures + 1)})
                return None
        asked_to_wait, was_held_back = inquiry.asked_to_wait, was_held_back or inquiry.was_held_back
        trouble = "; ".join(inquiry.troubles)
    candidates = _still_kept(claim, services)
    if not was_held_back and job.state is JobState.UNCONFIRMED and _is_overdue(claim, candidates, services):
        return _outcome_unknown(claim, provider, services)
    return _rest(claim, provider, candidates, asked_to_wait, trouble, services)


class _Inquiry:
    """One look for a job's request at its provider. `asked_to_wait`: the longest Retry-After met, seconds.

    `was_held_back`: our own limits kept us from asking. `troubles`: what kept the list from telling, each once.
    """

    def __init__(self, claim: Claim, provider: Provider, services: Services, begun_at: int) -> None:
        self._begun_at = begun_at
        self.asked_to_wait = 0.0
        self.was_held_back = False
        self._skew_ms = 0
        self.troubles: dict[str, None] = {}
        self._claim = claim
        self._job = claim.job
        self._provider = provider
        self._services = services
        self.spec: JobSpec = parse_spec(json.loads(services.store.history.spec_json(claim.job.id) or "{}"))
        self._as_sent = as_sent(claim.job, self.spec, services.bucket)

    def claimants(self) -> Iterator[ProviderEvent]:
        """Requests that fit the job: candidates first, then the list; raises `LeaseLostError`."""
        store = self._services.store
        signed = self._signed()
        for request_id, seen_at in store.callbacks.candidates(self._job.id).items():
            event = self._read(request_id, seen_at)
            if event is None:
                continue
            if (request_id in signed and not event.reference) or self._fits(event):
                yield event
            store.callbacks.drop_candidate(self._job.id, request_id)
            store.counters.add(Counter.CANDIDATES_REFUSED)
            log.warning("candidate.refused", extra={"job_id": self._job.id, "request_id": request_id})
        if self._provider.can_find and (event := self._found()) is not None:
            yield event
        if self._provider.can_list:
            yield from (event for event in self._listed() if event.payload is not None and self._fits(event))

    def _found(self) -> ProviderEvent | None:
        """The request that bears our name for this attempt: it needs no likeness."""
        try:
            return self._ask_again(partial(self._provider.find, self._job.reference))
        except ProviderError as err:
            self._note_wait(err)
            self._note_trouble(err.code, err.detail)
            return None

    def _signed(self) -> set[str]:
        """The request ids that signed callbacks to this attempt's URL have named: our key can read them, and the
        provider itself says whose they are."""
        stored = self._services.store.callbacks.events(self._job.id)
        own = [event for event in stored if event.attempt == self._job.attempt]
        return {event.request_id for event in own if event_json.load(event.text).is_verified}

    def _fits(self, event: ProviderEvent) -> bool:
        """Whether *event* is of our POST: by our name for it where it bears one, else by our clock or by the
        provider's: Redis' host may be wrong by more than `fits` allows for."""
        if event.reference:
            return event.reference == self._job.reference
        possible = {self._begun_at, self._begun_at + self._skew_ms}
        forms = (self.spec, self._as_sent)
        return any(self._provider.fits(form, event, begun_at=at) for form in forms for at in possible)

    def _read(self, request_id: str, seen_at: int) -> ProviderEvent | None:
        """Ask the provider about a candidate; None when it says nothing now."""
        self._keep_lease()
        try:
            event = self._ask(partial(self._provider.fetch, request_id))
            self._measure_skew()
            return event
        except NoSuchRequestError:
            if self._claim.now - seen_at >= ms(self._services.timing.show_after_seconds):
                self._services.store.callbacks.drop_candidate(self._job.id, request_id)
            else:
                self._services.store.callbacks.deny_candidate(self._job.id, request_id, attempt=self._job.attempt)
        except ProviderError as err:
            # a GET that fails for now proves nothing: the candidate stays
            self._note_wait(err)
            log.info("candidate.unread", extra={"job_id": self._job.id, "reason": err.code})
        return None

    def _listed(self) -> Iterator[ProviderEvent]:
        """The list, page by page, back to when our POST was begun, by our clock or by the provider's."""
        since = self._begun_at - CLOCK_SKEW_MS
        yield from self._listed_since(since)
        if self._skew_ms < -CLOCK_SKEW_MS:
            yield from self._listed_since(since + self._skew_ms)

    def _listed_since(self, since: int) -> Iterator[ProviderEvent]:
        try:
            for event in self._provider.recent(self.spec, since=since, ask=self._ask_again):
                if event.created_at is None:
                    self._note_trouble(UNREADABLE_TIME, "a record of it has no creation time that can be read")
                yield event
        except ProviderError as err:
            self._note_wait(err)
            self._note_trouble(err.code, err.detail)

    def _note_trouble(self, code: str, detail: str) -> None:
        told = f"{code}: {clean(detail, TROUBLE_CHARACTERS, hide=words_in(self.spec.model_dump()))}"
        if told not in self.troubles:
            self.troubles[told] = None
            log.warning("list.unread", extra={"job_id": self._job.id, "reason": told})

    def _ask_again(self, request: Callable[[], T]) -> T:
        self._keep_lease()
        answer = self._ask(request)
        self._measure_skew()
        return answer

    def _measure_skew(self) -> None:
        """Learn by how much the provider's clock is ahead of the store's, from the answer that has just come."""
        told_at = self._provider.clock_ms
        skew_ms = 0 if told_at is None else told_at - self._services.store.clock.now()
        self._skew_ms = skew_ms if abs(skew_ms) <= MOST_SKEW_MS else 0

    def _ask(self, request: Callable[[], T]) -> T:
        return provider_turns.at_once(self._job.id, self._provider.name, self._services, request)

    def _keep_lease(self) -> None:
        """Have a whole lease before each GET: a set of candidates can take longer than one."""
        services = self._services
        if services.store.due.renew(self._claim, lease_ms=ms(services.timing.poll_lease_seconds)) is None:
            raise LeaseLostError(f"job {self._job.id}: another process looks at it now")

    def _note_wait(self, err: ProviderError) -> None:
        self.was_held_back = self.was_held_back or isinstance(err, NoRoomError)
        self.asked_to_wait = max(self.asked_to_wait, err.retry_after or 0.0)


def _bound(job: Job, event: ProviderEvent, services: Services) -> bool:
    reply = services.store.attempts.bind(
        job.id,
        attempt=job.attempt,
        provider=job.provider,
        request_id=event.request_id,
        path="poll",
        due_in_ms=0,
        facts={"usage": json.dumps(event.usage)} if event.usage else {},
    )
    if reply.applied and reply.job is not None:
        log.info("request.bound", extra={"job_id": job.id, "request_id": event.request_id})
        services.results.started(reply.job)
    return reply.holds


def _begun_at(job: Job, begun: Begun | None = None) -> int:
    """When the POST to look for was begun, Unix ms: by the bucket where it knows."""
    return (begun and begun.at) or job.begun_at or job.accepted_at


def _still_kept(claim: Claim, services: Services) -> int:
    """Count the waiting candidates; those that could not be read for a whole retention are dropped."""
    kept = services.store.callbacks.candidates(claim.job.id)
    old = [request_id for request_id, seen_at in kept.items() if claim.now - seen_at > services.retention_ms()]
    for request_id in old:
        services.store.callbacks.drop_candidate(claim.job.id, request_id)
    return len(kept) - len(old)


def _is_overdue(claim: Claim, candidates: int, services: Services) -> bool:
    """Whether to stop waiting; where a candidate cannot be read, only when its link would be dead as well.

    It is kept and read after that, too.
    """
    timing = services.timing
    most_seconds = timing.link_life_seconds if candidates else timing.unconfirmed_deadline_seconds
    return claim.now - _begun_at(claim.job) > ms(most_seconds)


def _outcome_unknown(claim: Claim, provider: Provider | None, services: Services) -> Step | None:
    job = claim.job
    error = JobError(
        "confirm",
        ErrorCode.OUTCOME_UNKNOWN,
        f"{job.provider} never told whether it took the request; it may have been paid: check its billing page",
    )
    can_list = provider is not None and (provider.can_list or provider.can_find)
    reply = services.store.jobs.move(
        job.id,
        JobState.FAILED,
        attempt=job.attempt,
        path="sweep",
        lease=claim.token,
        error=error,
        look_until=claim.now + services.retention_ms() if can_list else None,
        detail=error.code,
    )
    return Step.DELIVER if reply.applied else None


def _rest(
    claim: Claim, provider: Provider | None, candidates: int, asked_to_wait: float, trouble: str, services: Services
) -> Step | None:
    """Wait for the next chance to learn more: a candidate, the list, or the deadline."""
    job, timing = claim.job, services.timing
    if candidates or (provider is not None and (provider.can_list or provider.can_find) and not job.is_final):
        delay = timing.retry_seconds(job.failures, services.rng)
    elif job.is_final:
        delay = timing.look_again_seconds
    else:
        left = timing.unconfirmed_deadline_seconds - (claim.now - _begun_at(job)) / 1000
        delay = left + 1 if left > 0 else timing.retry_seconds(job.failures, services.rng)
    waiting_for = f"{job.provider} to tell whether it took the request{f' (its list: {trouble})' if trouble else ''}"
    notes: Fields = {"failures": str(job.failures + 1), "waiting_for": waiting_for}
    services.store.due.rest(claim, due_in_ms=ms(max(delay, asked_to_wait)), notes=notes)
    return None
