"""Intents: notice that Redis has become an older self before anything is sent twice.

Three places know how many POSTs were begun: Redis, which a failover or a backup
can set back; every process, which forgets when it ends; and the bucket, which
nothing of Redis can set back, written every few seconds and after the POST, so
that it costs no POST any time. Between them they know all but the POSTs of the
very last moments before Redis and a worker were lost together.
"""

from __future__ import annotations

import logging

from worker.errors import BucketError
from worker.services import Services

log = logging.getLogger(__name__)

KEEP_SECONDS = 10.0


def recall(services: Services) -> None:
    """Learn, once in a process's life, what the bucket knows; raises `BucketError`."""
    if not services.store.has_recalled:
        services.store.remember(services.bucket.read_intents())
        services.store.has_recalled = True


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
