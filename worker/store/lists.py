"""The index of the lists: every job by its state and its acceptance, so that pages are exact and counts need no walk.

One sorted set of a shard holds one entry per record; the script that moves a job moves its entry.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import NamedTuple, cast

from worker.jobs.job import SCHEMA_VERSION
from worker.jobs.states import JobState
from worker.store.scripts import Scripts, store_errors

RANK_STEP = 10**13
"""More than any instant in Unix ms (as in `lua/_record.lua`)."""
RANKS = {
    JobState.ACCEPTED: 1,
    JobState.SUBMITTING: 2,
    JobState.UNCONFIRMED: 3,
    JobState.SUBMITTED: 4,
    JobState.GENERATED: 5,
    JobState.ARCHIVED: 6,
    JobState.FAILED: 7,
    JobState.EXPIRED: 8,
    JobState.CANCELLED: 9,
}
"""The states in the index; a number once given stays."""
FORGOTTEN_AT_ONCE = 500
UNIT_SEPARATOR = "\x1f"
"""Between the values of a tally (as in `lua/tally.lua`)."""


class Position(NamedTuple):
    """A place in the order of the lists, newest first; of one instant (Unix ms), the greater job id is first."""

    accepted_at: int
    job_id: str


class Tally(NamedTuple):
    """Records that are alike: their values, how many they are, and the first of them."""

    values: tuple[str, ...]
    jobs: int
    first: str


NEWEST = Position(RANK_STEP - 1, "")
"""Before every job."""


@dataclass(frozen=True)
class Sieve:
    """Conditions on fields of a record, all of which must hold."""

    equal: tuple[tuple[str, str], ...] = ()
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """True where every record passes."""
        return not (self.equal or self.has or self.lacks)

    def given(self) -> str:
        """The conditions as the script takes them."""
        return json.dumps({"equal": dict(self.equal), "has": self.has, "lacks": self.lacks})


class Lists:
    """The lists of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def newest(
        self, states: Collection[JobState], *, after: Position = NEWEST, since: int = 0, most: int = 500
    ) -> list[Position]:
        """The jobs in one of *states* that come after a position and were accepted at or after *since*, newest first.

        At most *most*. Each shard is looked at in one moment: a job that moves is neither missed nor met twice.
        """
        if not states:
            return []
        ranks = sorted(RANKS[state] for state in states)
        of_shards: list[list[Position]] = []
        for shard in range(self._keys.shards):
            args: list[str | int] = [most, after.accepted_at, after.job_id, since, *ranks]
            rows = iter(self._scripts.run("newest", [self._keys.listed(shard)], args))
            of_shards.append(
                [Position(int(score) % RANK_STEP, job_id) for job_id, score in zip(rows, rows, strict=True)]
            )
        return of_shards[0] if len(of_shards) == 1 else list(islice(merge(*of_shards, reverse=True), most))

    def sift(self, job_ids: Sequence[str], sieve: Sieve) -> list[str]:
        """Those of *job_ids* whose records pass *sieve*, in their order."""
        if sieve.is_open:
            return list(job_ids)
        if self._keys.shards == 1:
            return [job_ids[n] for n in self._fitting(job_ids, sieve)]
        places: list[int] = []
        for shard in range(self._keys.shards):
            own = [n for n, job_id in enumerate(job_ids) if self._keys.shard_of(job_id) == shard]
            places += [own[n] for n in self._fitting([job_ids[n] for n in own], sieve)]
        return [job_ids[n] for n in sorted(places)]

    def _fitting(self, job_ids: Sequence[str], sieve: Sieve) -> list[int]:
        """The places in *job_ids*, of one shard, of those whose records pass."""
        if not job_ids:
            return []
        records = [self._keys.record(job_id) for job_id in job_ids]
        return [place - 1 for place in self._scripts.run("sift", records, [SCHEMA_VERSION, sieve.given()])]

    def tally(self, job_ids: Sequence[str], fields: Sequence[str], by: str, least: int) -> Iterator[Tally]:
        """Count *job_ids* by the values of *fields*, those alone whose number in the field *by* is *least* or more."""
        for shard in range(self._keys.shards):
            own = [job_id for job_id in job_ids if self._keys.shard_of(job_id) == shard]
            records = [self._keys.record(job_id) for job_id in own]
            if not records:
                continue
            told = iter(self._scripts.run("tally", records, [SCHEMA_VERSION, by, least, *fields]))
            for values, count, first in zip(told, told, told, strict=True):
                yield Tally(tuple(values.split(UNIT_SEPARATOR)), int(count), own[int(first) - 1])

    def counts(self) -> dict[JobState, int]:
        """The number of jobs in each state, exact; each a count in an ordered set, whatever it holds."""
        self.forget()
        totals = dict.fromkeys(JobState, 0)
        with store_errors():
            for shard in range(self._keys.shards):
                pipeline = self._scripts.client.pipeline(transaction=False)
                for state in JobState:
                    first = RANKS[state] * RANK_STEP
                    pipeline.zcount(self._keys.listed(shard), first, first + RANK_STEP - 1)
                for state, count in zip(JobState, pipeline.execute(), strict=True):
                    totals[state] += int(count)
        return totals

    def forget(self) -> int:
        """Take jobs whose records have ended out of the index; how many."""
        return sum(self._forget(shard) for shard in range(self._keys.shards))

    def _forget(self, shard: int) -> int:
        closed, forgotten = self._keys.closed(shard), 0
        while True:
            with store_errors():
                now = self._scripts.clock.now()
                ended = self._scripts.client.zrangebyscore(closed, "-inf", now, start=0, num=FORGOTTEN_AT_ONCE)
                ids = cast("list[str]", ended)
            if not ids:
                return forgotten
            keys = [self._keys.listed(shard), closed, *(self._keys.record(job_id) for job_id in ids)]
            forgotten += int(self._scripts.run("forget", keys, [self._scripts.clock.given(), *ids]))
            if len(ids) < FORGOTTEN_AT_ONCE:
                return forgotten


def score(state: JobState, accepted_at: int) -> int:
    """The index entry of a job of *state* that was accepted at that instant, Unix ms."""
    return RANKS[state] * RANK_STEP + accepted_at
