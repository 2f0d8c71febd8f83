"""Replay: have a callback that was kept looked at again, once more as a hint and never as the truth."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from worker.errors import CallsheetError
from worker.providers import event_json
from worker.services import Services
from worker.store import Arrival, Reply

log = logging.getLogger(__name__)


def run(job_id: str, fingerprint: str, services: Services) -> Reply:
    """Make the job due for one of its stored callbacks; the words are `Store.recall`'s."""
    reply = services.store.recall(job_id, fingerprint)
    log.info("callback.replayed", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def run_stray(stray: Mapping[str, Any], services: Services) -> Arrival:
    """Take a delivery that could not be used when it came, as the receiver would now.

    Its token was checked before it was kept. Raises `CallbackError` when it is
    still no callback.
    """
    job_id, attempt = str(stray["job_id"]), int(stray["attempt"])
    provider = services.providers.get(str(stray["provider"]))
    if provider is None:
        raise CallsheetError(f"provider {stray['provider']} is not configured here")
    event = provider.parse_callback(str(stray["body"]).encode())
    arrival = services.store.arrive(
        job_id,
        attempt=attempt,
        request_id=event.request_id,
        fingerprint=event_json.fingerprint(provider.name, event),
        is_terminal=event.is_terminal,
        event_json=event_json.dump(event),
    )
    log.info("stray.replayed", extra={"job_id": job_id, "attempt": attempt, "outcome": arrival.word})
    return arrival
