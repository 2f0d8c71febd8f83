"""Batches: which jobs were ordered together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from worker.store.lifetimes import Lifetimes
from worker.store.scripts import Scripts, store_errors

AT = "@at"
"""The field that says when the batch was ordered; no job id holds an @."""
DAY_MS = 24 * 60 * 60 * 1000
LONGEST_LIFE_MS = 60 * DAY_MS
"""Longer than a job can be open: `not_before` of 30 days, a week in line, and as long again at its provider."""


@dataclass(frozen=True)
class Batch:
    """The jobs of a batch, in the order in which they were given; *at* is Unix ms."""

    at: int
    job_ids: tuple[str, ...]


class Batches:
    """The batches of one store; kept as long as the records of their jobs may be."""

    def __init__(self, scripts: Scripts, lifetimes: Lifetimes) -> None:
        self._scripts = scripts
        self._lifetimes = lifetimes

    def begin(self, batch_id: str, job_ids: Sequence[str]) -> None:
        """Write down which jobs are about to be ordered; those of an earlier call of the same id stay."""
        key, client = self._scripts.keys.batch(batch_id), self._scripts.client
        now = self._scripts.clock.now()
        with store_errors():
            known = int(client.hlen(key))
            pipeline = client.pipeline(transaction=True)
            pipeline.hsetnx(key, AT, now)
            for place, job_id in enumerate(job_ids, known):
                pipeline.hsetnx(key, job_id, place)
            pipeline.pexpire(key, self._lifetimes.retention_ms + LONGEST_LIFE_MS)
            pipeline.execute()

    def get(self, batch_id: str) -> Batch | None:
        """The batch; None where there is none of that id (any more)."""
        with store_errors():
            kept = cast("dict[str, str]", self._scripts.client.hgetall(self._scripts.keys.batch(batch_id)))
        if AT not in kept:
            return None
        at = int(kept.pop(AT))
        return Batch(at, tuple(sorted(kept, key=lambda job_id: int(kept[job_id]))))
