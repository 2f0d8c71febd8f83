"""Requests of jobs that a provider's limits decide on, by one worker or by many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from tests.integration.store.conftest import MINUTE, RETENTION, Clock, Lives
from worker.jobs.rate_limits import Limits, Operation, Place
from worker.jobs.states import JobState
from worker.store import Claim, Reply, Store

SUBMIT, POLL = Operation.SUBMIT, Operation.POLL
FREE = Limits("evolink")
SECOND = 1000
WORKERS = 16


def begun(store: Store, claim: Claim, limits: Limits, cost: str = "0") -> Reply:
    return store.attempts.begin(claim, limits=limits, cost=Decimal(cost))


def tried(lives: Lives, job_id: str, limits: Limits, cost: str = "0") -> Reply:
    """A new job's POST, begun if there is room; else it stands in line, as the step has it."""
    if lives.store.jobs.get(job_id) is None:
        lives.accepted(job_id)
    return tried_again(lives, job_id, limits, cost)


def tried_again(lives: Lives, job_id: str, limits: Limits, cost: str = "0") -> Reply:
    claim = lives.claimed(job_id)
    reply = begun(lives.store, claim, limits, cost)
    if reply.word == "busy":
        lives.store.due.rest(claim, due_in_ms=30 * MINUTE, waits=Place(SUBMIT, claim.job.accepted_at))
    return reply


def polled(lives: Lives, job_id: str, limits: Limits, *, is_urgent: bool = False) -> bool:
    """Whether a job's GET may begin; if not it stands in line."""
    claim = lives.store.due.claim(job_id, states=(JobState.SUBMITTED,), lease_ms=MINUTE)
    assert claim is not None
    permit = lives.store.limits.take(job_id, limits, POLL, is_urgent=is_urgent)
    waits = None if permit.is_granted else Place(POLL, 0 if is_urgent else claim.now)
    lives.store.due.rest(claim, due_in_ms=30 * MINUTE, waits=waits)
    return permit.is_granted


def due_ids(store: Store) -> set[str]:
    return set(store.due.ids())


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """The answers of *act* to *count* threads that begin together."""
    barrier = threading.Barrier(count)

    def run(n: int) -> object:
        barrier.wait()
        return act(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def of_shards(store: Store, clock: Clock, shards: int) -> Lives:
    """The lives of jobs in a store of so many shards."""
    store.scripts.client.flushdb()
    return Lives(Store(store.scripts.client, retention_ms=RETENTION, clock=clock, shards=shards))
