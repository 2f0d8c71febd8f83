"""Bulk acts: the same act on many jobs, worked on by the clock; each job at most once, whoever is killed.

A job is marked as begun before anything is done to it, and taken out of those to do with its result. Only the holder of
the lease works; it may find jobs that a process before it has begun and not reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from worker.store.scripts import Scripts, store_errors

KEPT_MS = 7 * 24 * 60 * 60 * 1000
"""The life of a bulk act with its results, from when it was asked for."""
OUTCOME = "outcome:"


class BulkState(StrEnum):
    """The state of a bulk act."""

    WORKING = "working"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Bulk:
    """A bulk act as it stands. Instants are Unix ms; *costs* is millionths of USD."""

    id: str
    asked: Mapping[str, Any]
    at: int
    state: BulkState
    cursor: str | None
    is_listed: bool  # all its jobs are known
    jobs: int
    left: int
    done: int = 0
    not_done: int = 0
    interrupted: int = 0
    costs: int = 0
    ended_at: int | None = None
    outcomes: Mapping[str, int] = field(default_factory=dict)


class Bulks:
    """The bulk acts of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def start(self, bulk_id: str, asked: Mapping[str, Any], jobs: Mapping[str, int] | None = None) -> None:
        """Record a bulk act, durably; *jobs*, each with its attempt, where they are known already."""
        keys = [self._keys.bulk(bulk_id), self._keys.bulks(), self._keys.bulks("working"), self._todo(bulk_id)]
        args: list[str | int] = [
            bulk_id,
            self._scripts.clock.given(),
            json.dumps(asked),
            KEPT_MS,
            0 if jobs is None else 1,
        ]
        self._scripts.run("bulk_start", keys, [*args, *_scored(jobs or {})], sync_key=self._keys.bulks("synced"))

    def get(self, bulk_id: str) -> Bulk | None:
        """The bulk act; None where there is none of that id (any more)."""
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=True)
            pipeline.hgetall(self._keys.bulk(bulk_id))
            pipeline.zcard(self._todo(bulk_id))
            kept, left = pipeline.execute()
        if "state" not in kept:
            return None
        counts = {name: int(kept.get(name, 0)) for name in ("jobs", "done", "not_done", "interrupted", "costs")}
        codes = {name.removeprefix(OUTCOME): int(count) for name, count in kept.items() if name.startswith(OUTCOME)}
        return Bulk(
            id=bulk_id,
            asked=json.loads(kept["asked"]),
            at=int(kept["at"]),
            state=BulkState(kept["state"]),
            cursor=kept["cursor"] or None,
            is_listed=kept["listed"] == "1",
            left=int(left),
            ended_at=int(kept["ended_at"]) if "ended_at" in kept else None,
            outcomes=dict(sorted(codes.items())),
            **counts,
        )

    def all(self) -> list[str]:
        """The ids of those that are kept, the newest first."""
        with store_errors():
            return cast("list[str]", self._scripts.client.zrevrange(self._keys.bulks(), 0, -1))

    def working(self) -> list[str]:
        """The ids of those that are not ended, the oldest first."""
        with store_errors():
            waiting = cast("set[str]", self._scripts.client.smembers(self._keys.bulks("working")))
        if not waiting:
            return []
        known = [bulk_id for bulk_id in reversed(self.all()) if bulk_id in waiting]
        return [*known, *sorted(waiting.difference(known))]

    def are_waiting(self) -> bool:
        """Whether there is one to work on, and nobody does."""
        with store_errors():
            client = self._scripts.client
            is_held = client.exists(self._keys.bulks("lease"))
            return not is_held and bool(client.scard(self._keys.bulks("working")))

    def lease(self, seconds: float) -> Lease | None:
        """The right to work on bulk acts, for *seconds*; None: another process has it."""
        key = self._keys.bulks("lease")
        lock = Lock(self._scripts.client, key, timeout=seconds, blocking=False, thread_local=False)
        with store_errors():
            return Lease(lock, seconds) if lock.acquire() else None

    def page(self, bulk: Bulk, jobs: Mapping[str, int], next_cursor: str | None) -> bool:
        """Take the jobs of the next page of the lists, each with its attempt; False: that page was taken before."""
        args: list[str | int] = [bulk.cursor or "", next_cursor or "", 0 if next_cursor else 1, KEPT_MS]
        keys = [self._keys.bulk(bulk.id), self._todo(bulk.id)]
        return bool(self._scripts.run("bulk_page", keys, [*args, *_scored(jobs)]))

    def todo(self, bulk_id: str, most: int) -> list[tuple[str, int]]:
        """Some of the jobs that are to do, each with the attempt that the act is for."""
        with store_errors():
            rows = self._scripts.client.zrange(self._todo(bulk_id), 0, most - 1, withscores=True)
        return [(job_id, int(attempt)) for job_id, attempt in cast("list[tuple[str, float]]", rows)]

    def begin(self, bulk_id: str, job_ids: Sequence[str]) -> list[str]:
        """Mark jobs as begun. For each: `begun`, `again` (begun before, and never reported), or `no`: not to do."""
        keys = [self._keys.bulk(bulk_id), self._todo(bulk_id), self._begun(bulk_id)]
        return cast("list[str]", self._scripts.run("bulk_begin", keys, [KEPT_MS, *job_ids]))

    def report(self, bulk_id: str, job_id: str, result: Mapping[str, Any], counter: str, costs: int) -> bool:
        """Keep a job's result and count it; False: it was reported before."""
        keys = [self._keys.bulk(bulk_id), self._todo(bulk_id), self._begun(bulk_id), self._results(bulk_id)]
        args: list[str | int] = [job_id, json.dumps(result), counter, str(result["outcome"]), costs, KEPT_MS]
        return bool(self._scripts.run("bulk_report", keys, args))

    def end(self, bulk_id: str, state: BulkState) -> None:
        """End one that is working: nothing more is begun."""
        key = self._keys.bulk(bulk_id)
        with store_errors():
            client = self._scripts.client
            if client.hget(key, "state") == BulkState.WORKING:
                client.hset(key, mapping={"state": str(state), "ended_at": self._scripts.clock.now()})
            client.srem(self._keys.bulks("working"), bulk_id)

    def results(self, bulk_id: str, first: int, most: int) -> list[dict[str, Any]]:
        """Results in the order in which they came, from number *first* (0)."""
        with store_errors():
            lines = self._scripts.client.lrange(self._results(bulk_id), first, first + most - 1)
        return [json.loads(line) for line in cast("list[str]", lines)]

    def _todo(self, bulk_id: str) -> str:
        return self._keys.bulk(bulk_id, "todo")

    def _begun(self, bulk_id: str) -> str:
        return self._keys.bulk(bulk_id, "begun")

    def _results(self, bulk_id: str) -> str:
        return self._keys.bulk(bulk_id, "results")


class Lease:
    """The right to work on bulk acts; it ends by itself unless it is renewed."""

    def __init__(self, lock: Lock, seconds: float) -> None:
        self._lock = lock
        self.seconds = seconds

    def renew(self) -> bool:
        """Have it last for its whole time from now on; False: it is lost, or Redis does not tell."""
        try:
            return bool(self._lock.extend(self.seconds, replace_ttl=True))
        except (LockError, RedisError):
            return False

    def release(self) -> None:
        """Let others work; one that is lost is nobody's loss."""
        try:
            self._lock.release()
        except (LockError, RedisError):
            return


def _scored(jobs: Mapping[str, int]) -> list[str | int]:
    scored: list[str | int] = []
    for job_id, attempt in jobs.items():
        scored += [attempt, job_id]
    return scored
