"""Notify: tell a job's backend by a signed POST that the job has ended.

A claim makes sure that what is told is durable, and that one try is under way at a time; killed between the POST and
its record, the same notification is sent again, under the same `webhook-id`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from worker.jobs import notification
from worker.jobs.job import Job
from worker.jobs.notification import Tries
from worker.jobs.states import FINAL
from worker.jobs.timing import ms
from worker.notifications import schedule
from worker.notifications.delivery import Delivery
from worker.services import Services
from worker.steps import Step
from worker.store import Claim, Reply
from worker.store.counters import Counter
from worker.store.notifications import Outcome

log = logging.getLogger(__name__)


def host_of(job_id: str, services: Services) -> tuple[Job, str] | None:
    """The job and the host (with its port) that it is to be told at; None where no try is due."""
    job = services.store.jobs.get(job_id)
    if job is None or not job.is_open or not notification.is_due(job, services.store.clock.now()):
        return None
    return job, services.notifications.host_of(services.store.history.spec_json(job_id))


@dataclass(frozen=True)
class Turn:
    """One turn of the step. *following* is the step worth starting at once; *is_host_up* is None where nothing was
    sent."""

    following: Step | None = None
    is_host_up: bool | None = None


def run(job_id: str, services: Services) -> Step | None:
    """Make the try that is due, if one is; returns the step worth starting at once."""
    return None if host_of(job_id, services) is None else take(job_id, services).following


def take(job_id: str, services: Services) -> Turn:
    """Make the try that is due, and plan the next one if it fails."""
    claim = services.store.due.claim(job_id, states=FINAL, lease_ms=ms(services.timing.notify_lease_seconds))
    if claim is None:
        return Turn()
    if not notification.is_due(claim.job, claim.now):
        services.store.due.rest(claim, due_in_ms=0)
        return Turn(Step.DELIVER)
    delivery = services.notifications.send(claim.job, services.store.history.spec_json(job_id))
    reply = _record(claim, delivery, services)
    is_news = (
        reply.word == "late" and reply.job is not None and notification.is_due(reply.job, services.store.clock.now())
    )
    return Turn(Step.DELIVER if is_news else None, delivery.is_host_up)


def tried(job: Job, delivery: Delivery, at: int, path: str) -> dict[str, Any]:
    """A try as it is kept and shown."""
    answer = {"error": delivery.error} if delivery.error else {"words": delivery.words}
    return {"at": at, "ver": job.ver, "path": path, "status": delivery.status, "ms": delivery.milliseconds, **answer}


def _record(claim: Claim, delivery: Delivery, services: Services) -> Reply:
    """Keep what became of the try."""
    job = claim.job
    now = services.store.clock.now()
    tries, outcome = _planned(job, delivery, now, services)
    reply = services.store.notifications.notified(
        job,
        outcome,
        tried(job, delivery, now, "sweep"),
        tries=tries,
        lease=claim.token,
        rest_in_ms=ms(services.timing.look_again_seconds),
        retry_ms=ms(services.timing.retry_seconds(job.failures, services.rng)),
    )
    _tell(job, delivery, outcome, services)
    return reply


def _planned(job: Job, delivery: Delivery, now: int, services: Services) -> tuple[Tries | None, Outcome]:
    """The tries so far with the next one, and the outcome in the store's words."""
    if delivery.is_delivered:
        return None, "delivered"
    before = notification.tries_of(job)
    count, first_at = before.count + 1, before.first_at or now
    wait = None
    if not delivery.is_last:
        asked = delivery.retry_after_seconds
        wait = schedule.wait_seconds(count, (now - first_at) / 1000, services.rng, retry_after_seconds=asked)
    return (None, "dead") if wait is None else (Tries(count, first_at, now + ms(wait)), "again")


def _tell(job: Job, delivery: Delivery, outcome: Outcome, services: Services) -> None:
    """A line in the log, and the counters."""
    facts = {"job_id": job.id, "ver": job.ver, "status": delivery.status, "ms": delivery.milliseconds}
    if outcome == "delivered":
        log.info("notification.delivered", extra=facts)
        services.store.counters.add(Counter.NOTIFICATIONS_DELIVERED)
        return
    services.store.counters.add(Counter.NOTIFICATION_TRIES_FAILED)
    log.info("notification.failed", extra={**facts, "reason": delivery.outcome})
    if outcome == "dead":
        log.error("notification.dead", extra={**facts, "reason": delivery.outcome})
        services.store.counters.add(Counter.NOTIFICATIONS_DEAD)
