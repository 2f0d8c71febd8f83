"""The due index, the index of request ids, counters and strays: keys that are not about one job alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import redis

from worker.jobs.job import SCHEMA_VERSION, is_job_id
from worker.jobs.states import JobState
from worker.store.counters import Counter
from worker.store.heartbeats import Heartbeats
from worker.store.keys import Keys
from worker.store.lists import Lists
from worker.store.metrics import Metrics
from worker.store.move_arguments import to_json
from worker.store.reads import Reads
from worker.store.replies import Nudge
from worker.store.scripts import store_errors

NUDGE_MS = (15_000, 5 * 60 * 1000)
"""The first interval between two nudges, and the longest."""
FARTHEST_MS = 3 * 60 * 60 * 1000
"""No step says a job is due later than in two hours: a due time beyond this was written while the clock was ahead."""
LONGEST_LEASE_MS = 15 * 60 * 1000
"""No step's lease is as long: one that ends later was granted while the clock was ahead (`lua/_record.lua`)."""
BETWEEN_SWEEPS_MS = 500
MAX_STRAYS = 200
MOST_PERISHING = 2000
"""The number of most urgent jobs that are looked through for one without a lease."""
MOST_URGENT = 16
READ_AT_ONCE = 8
"""Of these, so many are read at first, then twice as many each time: each archiver holds some of the first."""
MAX_TOOK = 64


class Index(Reads):
    """The store as the sweep and the operators see it."""

    def __init__(self, client: redis.Redis, keys: Keys, clock: Callable[[], int] | None) -> None:
        super().__init__(client, keys)
        self._clock = clock
        self.lists = Lists(self._scripts, keys, self._now)
        self.metrics = Metrics(self._scripts, keys, self._now)
        self.heartbeats = Heartbeats(lambda: self._client, self._keys.heartbeats(), self.now)

    @property
    def durability(self) -> str:
        """`always`, `waitaof` or `none`: what a power loss can undo (`Scripts.durability`)."""
        return self._scripts.durability

    def now(self) -> int:
        """The clock that the records' instants are by, Unix ms."""
        if self._clock is not None:
            return self._clock()
        with store_errors():
            seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def begin_sweep(self) -> bool:
        """Whether to sweep now: no sweep has begun within the last half second, by the server's clock.

        So ticks that waited in their queue are dropped but for one, and no host's clock is compared with another's.
        """
        return bool(self._scripts.run("tick", [self._keys.swept()], [self._now(), BETWEEN_SWEEPS_MS]))

    def swept_at(self) -> int | None:
        """When the last sweep began, Unix ms; None: none has."""
        with store_errors():
            at = cast("str | None", self._client.get(self._keys.swept()))
        return None if at is None else int(at)

    def due(self, limit: int = 500) -> list[str]:
        """Jobs that are due, the longest due first in each shard."""
        found: list[str] = []
        for shard in range(self._keys.shards):
            found += self._scripts.run("due", [self._keys.due(shard)], [self._now(), limit - len(found), FARTHEST_MS])
            if len(found) >= limit:
                break
        return found

    def nudge(self, job_ids: Collection[str], *, sent: Collection[str] = ()) -> list[Nudge]:
        """Those of *job_ids* that are still due, each put off by its nudge interval (15 s, doubling, at most 5 min).

        Left out are those that were nudged when they became due, where *sent* names their state, or "call" for
        callbacks, as one whose messages may still wait in their queue: that was their first nudge.
        """
        nudged: list[Nudge] = []
        for shard in range(self._keys.shards):
            # what can be no job was put there by hand; `mend` removes it
            ids = [job_id for job_id in job_ids if is_job_id(job_id) and self._keys.shard_of(job_id) == shard]
            if not ids:
                continue
            keys = [self._keys.due(shard), self._keys.counters(shard), *(self._keys.of(job_id)[0] for job_id in ids)]
            args: list[str | int] = [self._now(), *NUDGE_MS, SCHEMA_VERSION, ",".join(sent), FARTHEST_MS]
            args += [Counter.DUE_WITHOUT_OPEN_JOB, *ids]
            rows = self._scripts.run("nudge", keys, args)
            nudged += [
                Nudge(job_id, JobState(state), provider, call == 1, delivered == 1, notify == 1)
                for job_id, state, provider, call, delivered, notify in rows
            ]
        return nudged

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
            told, *rows = self._scripts.run("urgent", keys, [self._now(), first, last, only])
            now = float(told)
            waiting += [(float(rank), job_id, float(due_at)) for job_id, rank, due_at in rows]
        return now, waiting

    def _nudged(self, job_ids: Sequence[str], now: float) -> set[str]:
        """Those of *job_ids* that were nudged and are leased to nobody."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hmget(self._keys.of(job_id)[0], "nudges", "lease_until")
            answers = pipeline.execute()
        return {
            job_id
            for job_id, (nudges, lease_until) in zip(job_ids, answers, strict=True)
            if nudges and not 0 < int(lease_until or 0) - now <= LONGEST_LEASE_MS
        }

    def count(self, counter: Counter, by: int = 1) -> None:
        """Add to a counter, which then also says when."""
        self._scripts.run("count", [self._keys.counters()], [counter, by, self._now()])

    def keep_stray(self, stray: Mapping[str, Any]) -> None:
        """Keep something unusable for the operator; the latest 200 are kept."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.lpush(self._keys.strays(), json.dumps(stray))
            pipeline.ltrim(self._keys.strays(), 0, MAX_STRAYS - 1)
            pipeline.execute()

    def learn(self, provider: str, model: str, seconds: float, kind: str = "") -> None:
        """Keep how long a generation of *kind* took; the latest 64 of a model are kept."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.lpush(self._keys.took(provider, model), f"{seconds:.1f} {kind}".rstrip())
            pipeline.ltrim(self._keys.took(provider, model), 0, MAX_TOOK - 1)
            pipeline.execute()

    def _own(self, job_id: str, provider: str, request_id: str, lifetime_ms: int) -> str:
        """The job that owns *request_id*: this one, unless another one may be (or become) bound to it."""
        key = self._keys.request(provider, request_id)
        owner = str(self._scripts.run("own", [key], [job_id, "", lifetime_ms]))
        if owner != job_id and self._is_void(owner, request_id):
            owner = str(self._scripts.run("own", [key], [job_id, owner, lifetime_ms]))
        return owner

    def _is_void(self, owner: str, request_id: str) -> bool:
        """Whether *owner* can never be bound to *request_id*: each of its attempts has another one."""
        job = self.get(owner)
        if job is None:
            return False
        known = [job.request_ids.get(attempt) for attempt in range(1, job.attempt + 1)]
        return None not in known and request_id not in known

    def _now(self) -> str:
        return "" if self._clock is None else str(self._clock())

    def _run(
        self,
        name: str,
        job_id: str,
        given: Mapping[str, Any],
        *texts: str | bytes,
        durable: bool = False,
        provider: str = "",
    ) -> Any:
        sync_key = self._keys.synced(job_id) if durable else None
        args = [job_id, self._now(), to_json({**given, "reads": str(SCHEMA_VERSION)}), *texts]
        keys = [*self._keys.of(job_id), *self._keys.shared(job_id)]
        if provider:
            keys.append(self._keys.limits(self._keys.shard_of(job_id), provider))
        return self._scripts.run(name, keys, args, sync_key=sync_key)
