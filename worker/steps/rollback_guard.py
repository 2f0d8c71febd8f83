"""Intents: notice that Redis has become an older self before anything is sent twice.

Redis can be set back by a failover or a backup; the bucket cannot. So each try is
written down there, too, between its intent in Redis and its POST: whoever finds
it there already does not send, and what is not there was not sent.

How many POSTs were begun is known to Redis, to every process, and to the bucket,
which is told every few seconds: when Redis knows of fewer, that is noticed even
before any of the lost tries comes up again.
"""

from __future__ import annotations

import logging

from worker.bucket.intents import Begun
from worker.errors import BucketError
from worker.jobs.job import Job
from worker.services import Services

log = logging.getLogger(__name__)

KEEP_SECONDS = 10.0


def recall(services: Services) -> None:
    """Learn, once in a process's life, what the bucket knows; raises `BucketError`."""
    if not services.store.has_recalled:
        services.store.remember(services.bucket.read_intents())
        services.store.has_recalled = True


def begun_already(job: Job, services: Services) -> Begun | None:
    """Who began the try that is *job*'s next by its record: then Redis has lost that."""
    try:
        return services.bucket.begun(job.id, job.attempt, job.try_no + 1)
    except BucketError as err:
        log.warning("intent.unread", extra={"job_id": job.id, "reason": str(err)})
        return None


def compare(services: Services) -> None:
    """Have Redis compared with all that is remembered; the sweep does it every tick."""
    try:
        recall(services)
    except BucketError as err:
        log.warning("intents.unread", extra={"reason": str(err)})
    if services.store.compare_intents():
        services.store.count("intents_lost")


def keep(services: Services) -> None:
    """Tell the bucket now and then, when nothing waits for it."""
    now = services.monotonic()
    if now - services.store.kept_at < KEEP_SECONDS:
        return
    services.store.kept_at = now
    try:
        services.bucket.put_intents(services.store.remembered())
    except BucketError as err:
        log.warning("intents.unkept", extra={"reason": str(err)})
