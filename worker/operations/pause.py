"""Pause: hold a provider's new jobs back in every worker, and let them go again."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from worker.jobs.actor import Actor, given_by
from worker.jobs.states import JobState
from worker.operations.activity import record
from worker.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Paused:
    """A provider after the act. `waiting`: its accepted jobs; `since`: Unix ms, None: not paused."""

    provider: str
    waiting: int
    since: int | None = None
    was_paused: bool = True


def pause(store: Store, provider: str, by: Actor | None = None) -> Paused:
    """Submit nothing to *provider* until it is resumed; polls, callbacks and archiving go on."""
    since = store.pauses.pause(provider, by)
    log.warning("provider.paused", extra={"provider": provider, **given_by(by)})
    record(store, by, "pause", provider, "paused")
    return Paused(provider, len(waiting(store, provider)), since)


def resume(store: Store, provider: str, by: Actor | None = None) -> Paused:
    """Submit to *provider* again; the jobs that waited are due at once."""
    was_paused = store.pauses.resume(provider)
    log.warning("provider.resumed", extra={"provider": provider, **given_by(by)})
    record(store, by, "resume", provider, "resumed" if was_paused else "was not paused")
    waited = waiting(store, provider)
    if was_paused:
        store.due.hasten(waited)
    return Paused(provider, len(waited), was_paused=was_paused)


def waiting(store: Store, provider: str) -> list[str]:
    """The accepted jobs of *provider*."""
    open_jobs = store.records.outlines(job_id for _, job_id in store.due.open_ids())
    return [job.id for job in open_jobs if job.provider == provider and job.state is JobState.ACCEPTED]
