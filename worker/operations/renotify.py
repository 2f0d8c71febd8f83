"""Renotify: send a job's notification once more, now, and say what its receiver answered.

It changes no schedule: a notification that is still tried goes on being tried, unless this one was taken.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from worker.errors import CallsheetError
from worker.jobs.actor import Actor
from worker.jobs.job import Job
from worker.jobs.timing import ms
from worker.notifications.delivery import Delivery, Notifications
from worker.notifications.signature import message_id
from worker.operations.activity import logged
from worker.operations.outcome import Outcome, checked_id, found
from worker.services import Services
from worker.steps.notify import tried


@logged("renotify")
def renotify(job_id: str, services: Services, by: Actor | None = None, *, preview: bool = False) -> Outcome:
    """Send the notification of a job that has ended; a *preview* says where to, and sends nothing.

    Raises `CallsheetError` where there is no such job, or only its tombstone.
    """
    job = found(services.store.jobs.get(checked_id(job_id)), job_id)
    if job.is_tombstone:
        raise CallsheetError(f"only the tombstone of {job.id} is left, which does not say where it is told")
    spec_json = services.store.history.spec_json(job.id)
    expected = foreseen(job, spec_json, services.notifications)
    if preview:
        return expected
    if not expected.is_done:
        return replace(expected, is_preview=False)
    services.store.jobs.make_durable(job.id)
    delivery = services.notifications.send(job, spec_json)
    services.store.notifications.notified(
        job,
        "delivered" if delivery.is_delivered else "manual",
        tried(job, delivery, services.store.clock.now(), "operator"),
        rest_in_ms=ms(services.timing.look_again_seconds),
        by=by,
    )
    return _outcome(job.id, delivery, message_id(job.id, job.ver))


def foreseen(job: Job, spec_json: str | None, notifications: Notifications) -> Outcome:
    """The outcome as far as it can be told before anything is sent."""
    if not job.is_final:
        words = f"{job.id} has not ended: it is {job.state}"
        return Outcome(job.id, "not_ended", words, is_done=False, is_preview=True)
    if not notifications.wants(json.loads(spec_json or "{}").get("notify_url")):
        words = f"{job.id} is told nowhere: its spec names no notify_url, and CALLSHEET_NOTIFY_URL is not set"
        return Outcome(job.id, "nowhere", words, is_done=False, is_preview=True)
    host = notifications.host_of(spec_json) or "a URL that nothing can be sent to"
    words = f"that {job.id} is {job.state} would be sent to {host} once more; nothing is paid for that"
    return Outcome(job.id, "would_send", words, is_preview=True)


def send_test(url: str, notifications: Notifications) -> Outcome:
    """Send a signed message that tells of no job to *url*, as a notification would be sent."""
    refusal = notifications.refusal(url)
    if refusal is not None:
        raise CallsheetError(f"nothing can be sent there: the URL {refusal}")
    return _outcome("the test", notifications.send_test(url), "")


def _outcome(what: str, delivery: Delivery, webhook_id: str) -> Outcome:
    facts: dict[str, Any] = {"status": delivery.status, "ms": delivery.milliseconds, "answer": delivery.words}
    if webhook_id:
        facts["webhook_id"] = webhook_id
    if delivery.is_delivered:
        took = f"the receiver took it in {delivery.milliseconds} ms ({delivery.outcome})"
        return Outcome(what, "delivered", f"{what} is told: {took}", facts=facts)
    why = f"the receiver {delivery.outcome}" if delivery.status is not None else delivery.outcome
    return Outcome(
        what, "failed", f"{what} is not told: {why}", is_done=False, facts={**facts, "error": delivery.error}
    )
