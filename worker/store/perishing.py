"""Jobs whose videos wait to be copied, by when their links end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from worker.store.due_index import LONGEST_LEASE_MS
from worker.store.scripts import Scripts, store_errors

MOST_PERISHING = 2000
"""The number of most urgent jobs that are looked through for one without a lease."""
MOST_URGENT = 16
READ_AT_ONCE = 8
"""Of these, so many are read at first, then twice as many each time: each archiver holds some of the first."""


class Perishing:
    """The videos of one store that wait to be copied."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def most_urgent(self, *, untried_only: bool = False) -> Iterator[str]:
        """Jobs whose videos wait to be copied and that a step may claim now, the most urgent in front.

        That is by when their links end, but those that could not be copied come behind those that nobody has tried,
        except in their links' last hour; with *untried_only* they do not come at all. At most 16, and read as they are
        asked for: mostly one of the first is taken.
        """
        return islice(self._free("untried" if untried_only else ""), MOST_URGENT)

    def _free(self, only: str) -> Iterator[str]:
        """Those that are due, or nudged already, and leased to nobody."""
        seen: set[str] = set()
        first, count = 0, READ_AT_ONCE
        while first < MOST_PERISHING:
            now, waiting = self._perishing(first, first + count - 1, only)
            nudged: set[str] | None = None
            for _, job_id, due_at in sorted(waiting):
                if due_at > now and nudged is None:
                    nudged = self._nudged([job_id for _, job_id, due_at in waiting if due_at > now], now)
                if (due_at <= now or (nudged and job_id in nudged)) and job_id not in seen:
                    seen.add(job_id)
                    yield job_id
            if not waiting:
                return
            first, count = first + count, 2 * count

    def _perishing(self, first: int, last: int, only: str) -> tuple[float, list[tuple[float, str, float]]]:
        """The server's time, and at these positions of each shard: its rank, whose it is, when it is due."""
        now, waiting = 0.0, []
        for shard in range(self._keys.shards):
            keys = [self._keys.perishing(shard), self._keys.due(shard)]
            told, *rows = self._scripts.run("urgent", keys, [self._scripts.clock.given(), first, last, only])
            now = float(told)
            waiting += [(float(rank), job_id, float(due_at)) for job_id, rank, due_at in rows]
        return now, waiting

    def _nudged(self, job_ids: Sequence[str], now: float) -> set[str]:
        """Those of *job_ids* that were nudged and are leased to nobody."""
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hmget(self._keys.of(job_id)[0], "nudges", "lease_until")
            answers = pipeline.execute()
        return {
            job_id
            for job_id, (nudges, lease_until) in zip(job_ids, answers, strict=True)
            if nudges and not 0 < int(lease_until or 0) - now <= LONGEST_LEASE_MS
        }
