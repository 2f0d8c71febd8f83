"""The due index: which open job somebody must look at, when, and who holds its lease."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from typing import cast

from worker.errors import UnknownLayoutError
from worker.jobs.actor import Actor, given_by
from worker.jobs.job import SCHEMA_VERSION, is_job_id
from worker.jobs.rate_limits import Place
from worker.jobs.states import FINAL, JobState
from worker.logs import bind
from worker.store.counters import Counter
from worker.store.layout import Fields
from worker.store.move_arguments import open_fields, read_job, read_reply
from worker.store.records import BATCH
from worker.store.replies import Claim, Nudge, Reply
from worker.store.scripts import Scripts, store_errors

log = logging.getLogger(__name__)

NUDGE_MS = (15_000, 5 * 60 * 1000)
"""The first interval between two nudges, and the longest."""
FARTHEST_MS = 3 * 60 * 60 * 1000
"""No step says a job is due later than in two hours: a due time beyond this was written while the clock was ahead."""
LONGEST_LEASE_MS = 15 * 60 * 1000
"""No step's lease is as long: one that ends later was granted while the clock was ahead (`lua/_record.lua`)."""
BETWEEN_SWEEPS_MS = 500


class DueIndex:
    """The due index of one store. *monotonic* (seconds) is the local clock that a claim's end is told by."""

    def __init__(self, scripts: Scripts, monotonic: Callable[[], float]) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._monotonic = monotonic
        self._has_told_unknown = False

    def ids(self, limit: int = 500) -> list[str]:
        """Jobs that are due, the longest due first in each shard."""
        found: list[str] = []
        for shard in range(self._keys.shards):
            found += self._scripts.run(
                "due", [self._keys.due(shard)], [self._scripts.clock.given(), limit - len(found), FARTHEST_MS]
            )
            if len(found) >= limit:
                break
        return found

    def claim(
        self, job_id: str, *, states: Collection[JobState], lease_ms: int, only_due: bool = False
    ) -> Claim | None:
        """Lease the job to this step; None when it is leased, closed, missing or in none of *states*.

        The lease's token is a nonce: no failover or restart of Redis gives it to another claimant.

        With *only_due*, also before somebody must look at it: the message that
        started the step is then an old or a doubled one. A job that the sweep has
        nudged counts as due.
        """
        began = self._monotonic()
        # what is final is told to people: only when it cannot be undone any more
        durable = not FINAL.isdisjoint(states)
        given = {
            "states": ",".join(states),
            "lease_ms": lease_ms,
            "only_due": only_due,
            "nonce": secrets.token_hex(8),
        }
        try:
            granted = self._scripts.run_on_job("claim", job_id, given, durable=durable)
        except UnknownLayoutError as err:
            self._tell_once(err)
            return None
        if granted is None:
            return None
        now, record, events, candidates = granted
        job = read_job(job_id, record)
        bind(job_id=job.id, attempt=job.attempt, provider=job.provider)
        return Claim(job, job.lease, int(now), began + lease_ms / 1000, events, candidates)

    def _tell_once(self, err: UnknownLayoutError) -> None:
        """One line in a process's life: during a deploy it would be one for every nudge."""
        if not self._has_told_unknown:
            self._has_told_unknown = True
            log.warning("record.unknown_layout", extra={"reason": str(err)})

    def renew(self, claim: Claim, lease_ms: int) -> Claim | None:
        """The claim with a whole lease from now on; None when it has ended or was taken over."""
        began = self._monotonic()
        granted = self._scripts.run_on_job("renew", claim.job.id, {"lease": claim.token, "lease_ms": lease_ms})
        if granted is None:
            return None
        now, record = granted
        job = read_job(claim.job.id, record)
        return replace(claim, job=job, now=int(now), ends_monotonic=began + lease_ms / 1000)

    def rest(
        self,
        claim: Claim,
        *,
        due_in_ms: int,
        notes: Fields | None = None,
        facts: Fields | None = None,
        waits: Place | None = None,
        behind: bool = False,
    ) -> Reply:
        """End the claim without a move; a callback that came since it was granted makes the job due at once.

        With *waits* the job stands in its provider's line, to be called when it is its turn; without, it leaves it.
        With *behind* its video is copied after those that nobody has tried to copy (`most_urgent`).
        """
        given = {
            "attempt": claim.job.attempt,
            "lease": claim.token,
            "due_in_ms": due_in_ms,
            "notes": open_fields(notes),
            "facts": open_fields(facts),
            **({} if waits is None else {"waits": asdict(waits)}),
            **({"behind": True} if behind else {}),
        }
        return read_reply(claim.job.id, self._scripts.run_on_job("rest", claim.job.id, given))

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
            keys = [
                self._keys.due(shard),
                self._keys.counters(shard),
                *(self._keys.of(job_id)[0] for job_id in ids),
            ]
            args: list[str | int] = [
                self._scripts.clock.given(),
                *NUDGE_MS,
                SCHEMA_VERSION,
                ",".join(sent),
                FARTHEST_MS,
            ]
            args += [Counter.DUE_WITHOUT_OPEN_JOB, *ids]
            rows = self._scripts.run("nudge", keys, args)
            nudged += [
                Nudge(job_id, JobState(state), provider, call == 1, delivered == 1, notify == 1)
                for job_id, state, provider, call, delivered, notify in rows
            ]
        return nudged

    def look_now(self, job_id: str, *, detail: str, by: Actor | None = None) -> Reply:
        """Make an open job due now, with who asked for it in its timeline; `late`: it is closed."""
        given = {"detail": detail, **given_by(by)}
        return read_reply(job_id, self._scripts.run_on_job("hasten", job_id, given, durable=True))

    def hasten(self, job_ids: Iterable[str]) -> int:
        """Make those of *job_ids* that are open and due later due now; how many. At worst one is nudged in vain."""
        ids, now, hastened = iter(job_ids), self._scripts.clock.now(), 0
        with store_errors():
            while batch := list(islice(ids, BATCH)):
                pipeline = self._scripts.client.pipeline(transaction=False)
                for job_id in batch:
                    # never an entry for a job that is not open, never one put off
                    pipeline.zadd(self._keys.of(job_id)[1], {job_id: now}, xx=True, lt=True, ch=True)
                hastened += sum(int(changed) for changed in pipeline.execute())
        return hastened

    def next_at(self) -> int | None:
        """When the next job is due, Unix ms; None when no job is open."""
        return min((at for at, _ in self._entries(last=0)), default=None)

    def at(self, job_id: str) -> int | None:
        """When somebody must look at the job again, Unix ms; None when it is not open."""
        with store_errors():
            score = self._scripts.client.zscore(self._keys.of(job_id)[1], job_id)
        return None if score is None else int(score)

    def open_ids(self) -> list[tuple[int, str]]:
        """Every open job as (due at, job id), Unix ms, the soonest first."""
        return sorted(self._entries(last=-1))

    def open_count(self) -> int:
        """The number of open jobs."""
        with store_errors():
            return sum(int(self._scripts.client.zcard(self._keys.due(shard))) for shard in range(self._keys.shards))

    def begin_sweep(self) -> bool:
        """Whether to sweep now: no sweep has begun within the last half second, by the server's clock.

        So ticks that waited in their queue are dropped but for one, and no host's clock is compared with another's.
        """
        return bool(self._scripts.run("tick", [self._keys.swept()], [self._scripts.clock.given(), BETWEEN_SWEEPS_MS]))

    def swept_at(self) -> int | None:
        """When the last sweep began, Unix ms; None: none has."""
        with store_errors():
            at = cast("str | None", self._scripts.client.get(self._keys.swept()))
        return None if at is None else int(at)

    def _entries(self, *, last: int) -> Iterator[tuple[int, str]]:
        """The due index as (due at, job id), each shard's soonest first, up to position *last*."""
        with store_errors():
            for shard in range(self._keys.shards):
                entries = self._scripts.client.zrange(self._keys.due(shard), 0, last, withscores=True)
                for job_id, at in cast("list[tuple[str, float]]", entries):
                    yield int(at), job_id
