"""Earlier: the videos of attempts before the current one, once that has ended without.

They were paid for: each attempt that may have a video is asked about, slowly,
until the retention ends, and archived under its own attempt's key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from worker.errors import (
    BucketError,
    DownloadError,
    LeaseLostError,
    NoRoomError,
    NoSuchRequestError,
    ProviderError,
    SlowDownloadError,
)
from worker.jobs.job import Job, Video
from worker.jobs.rate_limits import Operation, Place
from worker.jobs.spec import parse_spec
from worker.jobs.states import DOUBTED, MISSED, REVISITED
from worker.jobs.timing import Timing, ms
from worker.providers.adapter import CLOCK_SKEW_MS
from worker.providers.base import EventKind, Provider, ProviderEvent
from worker.services import Services
from worker.steps import Step, provider_turns
from worker.steps.copy_videos import Copied, copy_all
from worker.steps.lease import Lease
from worker.steps.submit_images import as_sent
from worker.store import Claim

log = logging.getLogger(__name__)


def attempts(claim: Claim, timing: Timing) -> list[int]:
    """The earlier attempts that may have a video, the latest first; none while the current one may.

    One that its provider says has failed is asked for `doubt_seconds` from the end of the current one.
    """
    job = claim.job
    if job.held not in MISSED:
        return []
    is_doubted = claim.now - job.state_at <= ms(timing.doubt_seconds)
    revisited = REVISITED | DOUBTED if is_doubted else REVISITED
    return sorted((attempt for attempt, ended in job.ended.items() if ended in revisited), reverse=True)


def look(claim: Claim, keep_lease: Callable[[], Lease], services: Services) -> Step | None:
    """Archive the first video that an earlier attempt turns out to have; raises `SlowDownloadError` as *keep_lease*'s
    lease does."""
    provider = services.providers.get(claim.job.provider)
    if provider is None:
        return None
    for attempt in attempts(claim, services.timing):
        older = replace(claim.job, attempt=attempt)
        try:
            copied = _copied_of(older, claim, keep_lease, provider, services)
        except LeaseLostError:
            return None
        except SlowDownloadError:
            raise
        except (ProviderError, DownloadError, BucketError) as err:
            log.info("attempt.missed", extra={"job_id": older.id, "attempt": attempt, "reason": str(err)})
            continue
        if not copied.videos:
            continue
        facts = copied.facts(older, services)
        if services.store.attempts.archive_earlier(claim.job, attempt, copied.videos, facts).applied:
            log.info("video.archived", extra={"job_id": older.id, "attempt": attempt, "videos": len(copied.videos)})
            return Step.DELIVER
    return None


def make_room(claim: Claim, services: Services) -> bool:
    """Ask about the requests that callbacks of earlier attempts have named, if one of those found no room for its own.

    A request that is an attempt's own is bound to it; one that its provider does not know gives way to a newcomer. So
    nobody who was told an attempt's URL keeps its true callback out for long. False: another process has the job now.
    """
    job = claim.job
    if job.woken_from is None:
        return True
    provider = services.providers.get(job.provider)
    for attempt in range(1, job.attempt):
        if provider is None or attempt in job.request_ids:
            continue
        try:
            _bound(replace(job, attempt=attempt), claim, provider, services, lists=False)
        except LeaseLostError:
            return False
        except ProviderError as err:
            log.info("attempt.missed", extra={"job_id": job.id, "attempt": attempt, "reason": str(err)})
    return True


def ask_first(claim: Claim, woken_from: int, services: Services) -> Step | None:
    """Make room for callbacks of earlier attempts before this one is submitted, which keeps its time and its place."""
    if not make_room(claim, services):
        return None
    job, left = claim.job, max(0, woken_from - services.store.clock.now())
    place = Place(Operation.SUBMIT, job.accepted_at) if job.place else None
    services.store.due.rest(claim, due_in_ms=left, notes={"waits": job.waits} if job.waits else {}, waits=place)
    return None if left else Step.SUBMIT


def _copied_of(
    older: Job, claim: Claim, keep_lease: Callable[[], Lease], provider: Provider, services: Services
) -> Copied:
    """The videos of an earlier attempt in the bucket, those that its provider has now included."""
    if older.request_id is None:
        older = _bound(older, claim, provider, services, lists=True)
    if older.request_id is None:
        return Copied(())
    try:
        event = provider_turns.at_once(older.id, provider.name, services, partial(provider.fetch, older.request_id))
    except NoSuchRequestError:
        return _copied_before(older, services)
    if event.kind is EventKind.FAILED:
        charged = services.charges_failures(older.provider)
        services.store.attempts.end_earlier(older.id, older.attempt, "failed(generate)", charged=charged)
        return _copied_before(older, services)
    if event.kind is not EventKind.GENERATED:
        return Copied(())
    with keep_lease() as lease:
        return copy_all(older, event.links, lease, services)


def _copied_before(older: Job, services: Services) -> Copied:
    """The videos that a late archiver of that attempt has left in the bucket, from the first on."""
    videos: list[Video] = []
    while True:
        key = services.bucket.videos.key(older.id, older.attempt, len(videos) + 1, older.accepted_at)
        video = services.bucket.videos.find_of_any_type(key)
        if video is None:
            return Copied(tuple(videos))
        videos.append(video)


def _bound(older: Job, claim: Claim, provider: Provider, services: Services, *, lists: bool) -> Job:
    """*older* with its request id, if a callback that was kept, or (*lists*) the provider's list, tells it truly."""
    for event in _claimants(older, claim, provider, services, lists=lists):
        reply = services.store.attempts.bind(
            older.id, attempt=older.attempt, provider=older.provider, request_id=event.request_id, path="poll"
        )
        if reply.job is not None and reply.job.request_ids.get(older.attempt) == event.request_id:
            return replace(reply.job, attempt=older.attempt)
    return older


def _claimants(
    older: Job, claim: Claim, provider: Provider, services: Services, *, lists: bool
) -> Iterator[ProviderEvent]:
    """Requests that fit the attempt: those that its callbacks name, then the list."""
    spec = parse_spec(json.loads(services.store.history.spec_json(older.id) or "{}"))
    sent = as_sent(older, spec, services.bucket)
    begun_at = older.begun.get(older.attempt, older.accepted_at)

    def fits(event: ProviderEvent) -> bool:
        if event.reference:
            return event.reference == older.reference
        return any(provider.fits(form, event, begun_at=begun_at) for form in (spec, sent))

    for event in _named(older, claim, provider, services):
        if fits(event):
            yield event
        else:
            services.store.callbacks.deny_candidate(older.id, event.request_id, attempt=older.attempt)
    if lists and provider.can_find:
        find = partial(provider.find, older.reference)
        if (known := provider_turns.at_once(older.id, provider.name, services, find)) is not None:
            yield known
    if lists and provider.can_list:
        ask = partial(provider_turns.at_once, older.id, provider.name, services)
        for event in provider.recent(spec, since=begun_at - CLOCK_SKEW_MS, ask=ask):
            if event.payload is not None and fits(event):
                yield event


def _named(older: Job, claim: Claim, provider: Provider, services: Services) -> Iterator[ProviderEvent]:
    """Read the requests that callbacks kept of the attempt name; those that the provider does not know are denied.

    One that cannot be read now hides no other. Raises `NoRoomError`, and `LeaseLostError` when another process has the
    job: a set of them can take longer than a lease.
    """
    store, lease_ms = services.store, ms(services.timing.poll_lease_seconds)
    named = [event.request_id for event in store.callbacks.events(older.id) if event.attempt == older.attempt]
    for request_id in dict.fromkeys(named):
        if store.due.renew(claim, lease_ms=lease_ms) is None:
            raise LeaseLostError(f"job {older.id}: another process looks at it now")
        try:
            yield provider_turns.at_once(older.id, provider.name, services, partial(provider.fetch, request_id))
        except NoSuchRequestError:
            store.callbacks.deny_candidate(older.id, request_id, attempt=older.attempt)
        except NoRoomError:
            raise
        except ProviderError as err:
            log.info("candidate.unread", extra={"job_id": older.id, "reason": err.code})
