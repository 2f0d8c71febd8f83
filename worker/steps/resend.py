"""Send an unconfirmed POST once more under its idempotency key, where the operator vouches for the provider's keys.

The same bytes under the same key are one request to a provider that honours keys: its answer tells the lost id.
Nobody promises that of APIMart's videos, so it is off unless `APIMART_TRUST_IDEMPOTENCY` says so, and one such POST
whose outcome is unknown again is the last.
"""

from __future__ import annotations

import logging
from functools import partial

from worker.errors import NoRoomError, NotTakenError, ProviderError
from worker.jobs.spec import JobSpec
from worker.jobs.states import JobState
from worker.jobs.timing import HOUR, ms
from worker.providers.base import Provider, ProviderEvent
from worker.services import Services
from worker.steps import provider_turns
from worker.steps.submit import callback_url_of
from worker.steps.submit_images import links_of
from worker.store import Claim

log = logging.getLogger(__name__)

IN_PROGRESS = "in_progress"
"""The code of a POST whose key is still being worked on."""

KEY_LIFE_SECONDS = HOUR
"""A key is not relied on for longer: how long APIMart remembers it is not documented."""


def may(claim: Claim, provider: Provider, spec: JobSpec, services: Services) -> bool:
    """Whether the job's POST may be sent once more.

    One with a picture of the bucket may not: its link would be signed anew, so that the bytes would differ.
    """
    job, options = claim.job, services.settings.providers.get(claim.job.provider)
    if options is None or not options.trusts_keys or not provider.takes_keys:
        return False
    if job.state is not JobState.UNCONFIRMED or job.resent == job.attempt or job.begun_at is None:
        return False
    if claim.now - job.begun_at > ms(KEY_LIFE_SECONDS) or job.provider in services.store.pauses.paused():
        return False
    return all(link.startswith("https://") for link in links_of(spec).values())


def run(claim: Claim, provider: Provider, spec: JobSpec, services: Services) -> tuple[ProviderEvent | None, float]:
    """The request that the provider now tells, and else the seconds until it is worth another try (0: never)."""
    job = claim.job
    if services.store.due.renew(claim, lease_ms=ms(services.timing.submit_lease_seconds)) is None:
        return None, 0.0
    services.store.jobs.note(job.id, resent=str(job.attempt))
    services.store.jobs.make_durable(job.id)
    url = callback_url_of(job, provider, services)
    post = partial(provider.submit, spec, images=links_of(spec), callback_url=url, reference=job.reference)
    try:
        submission = provider_turns.at_once(job.id, provider.name, services, post)
    except ProviderError as err:
        log.warning("submit.resent", extra={"job_id": job.id, "code": err.code, "reason": err.detail})
        if not isinstance(err, NotTakenError | NoRoomError) and err.code != IN_PROGRESS:
            return None, 0.0
        services.store.jobs.note(job.id, resent="0")
        return None, err.retry_after or services.timing.retry_seconds(job.failures, services.rng)
    log.warning("submit.resent", extra={"job_id": job.id, "request_id": submission.request_id})
    return submission.event, 0.0
