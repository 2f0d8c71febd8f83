"""The name of every Redis key; what each holds is in `README.md` beside this file.

All keys of one job, and the due index that lists it, share a hash tag: a script
may touch them together on a cluster too.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from worker.jobs.job import is_job_id

PREFIX = "callsheet:"


@dataclass(frozen=True)
class Keys:
    """Key names for a store of so many shards; the number is for ever."""

    shards: int = 1

    def of(self, job_id: str) -> tuple[str, ...]:
        """A job's keys in the order that `lua/_record.lua` reads them."""
        if not is_job_id(job_id):
            raise ValueError(f"not a job id: {job_id!r:.80}")
        shard = self._shard(job_id)
        tag = f"{PREFIX}{{{shard}}}:"
        return (
            f"{tag}job:{job_id}",
            f"{tag}due",
            f"{tag}candidates:{job_id}",
            f"{tag}events:{job_id}",
            f"{tag}history:{job_id}",
            f"{tag}links:{job_id}",
            f"{tag}tombstone:{job_id}",
            f"{tag}deliveries:{job_id}",
        )

    def shared(self, job_id: str) -> tuple[str, ...]:
        """Keys shared by the scripts of all jobs: who occupies a provider, who stands in line, whose videos wait to be
        copied, the lists' index, and when closed jobs are forgotten, the metrics, which
        callbacks are awaited, and the ledger."""
        shard = self._shard(job_id)
        tag = f"{PREFIX}{{{shard}}}:"
        of_lists = self.perishing(shard), self.listed(shard), self.closed(shard)
        return f"{tag}occupied", f"{tag}line", *of_lists, self.metrics(shard), self.awaited(shard), *self.ledger(shard)

    def record(self, job_id: str) -> str:
        """The key of a job's record, the first of `of`, without a look at the id: lists ask for thousands."""
        return f"{PREFIX}{{{self._shard(job_id)}}}:job:{job_id}"

    def batch(self, batch_id: str) -> str:
        """Which jobs were ordered together."""
        return f"{PREFIX}{{{self._shard(batch_id)}}}:batch:{batch_id}"

    def bulk(self, bulk_id: str, part: str = "") -> str:
        """A bulk act, or one *part* of what it has: `todo`, `begun`, `results`."""
        return f"{PREFIX}{{0}}:bulk:{bulk_id}{part and ':'}{part}"

    def bulks(self, part: str = "") -> str:
        """All bulk acts by when they were asked for; `working`: those not ended; `lease`: who works on them."""
        return f"{PREFIX}{{0}}:bulks{part and ':'}{part}"

    def listed(self, shard: int) -> str:
        """The index of the lists: every job by its state and when it was accepted."""
        return f"{PREFIX}{{{shard}}}:listed"

    def closed(self, shard: int) -> str:
        """Every closed job by when its record ends."""
        return f"{PREFIX}{{{shard}}}:closed"

    def perishing(self, shard: int) -> str:
        """Whose videos wait to be copied, by when their links end."""
        return f"{PREFIX}{{{shard}}}:perishing"

    def limits(self, shard: int, provider: str) -> str:
        return f"{PREFIX}{{{shard}}}:limits:{provider}"

    def of_provider(self, shard: int, provider: str) -> tuple[str, ...]:
        """A provider's keys in the order that `lua/_provider.lua` reads them."""
        tag = f"{PREFIX}{{{shard}}}:"
        return self.limits(shard, provider), f"{tag}occupied", f"{tag}line"

    def ledger(self, shard: int) -> tuple[str, str]:
        """The shard's sums of money, and the index of their names by day."""
        return f"{PREFIX}{{{shard}}}:ledger", f"{PREFIX}{{{shard}}}:ledger_index"

    def budget(self, month: str) -> tuple[str, str]:
        """The counts of the caps in a month, and whose that is: one budget for all shards."""
        return f"{PREFIX}{{0}}:budget:{month}", f"{PREFIX}{{0}}:reserved:{month}"

    def probe(self, shard: int) -> str:
        return f"{PREFIX}{{{shard}}}:probe"

    def due(self, shard: int) -> str:
        return f"{PREFIX}{{{shard}}}:due"

    def shard_count(self) -> str:
        """The number of shards."""
        return f"{PREFIX}{{0}}:shards"

    def swept(self) -> str:
        """When the last sweep began."""
        return f"{PREFIX}{{0}}:swept"

    def metrics(self, shard: int) -> str:
        """Counts for the metrics alone (`metrics.py`)."""
        return f"{PREFIX}{{{shard}}}:metrics"

    def awaited(self, shard: int) -> str:
        """Whose callbacks should have come by when, of generations that a poll has found ended."""
        return f"{PREFIX}{{{shard}}}:awaited"

    def counters(self, shard: int = 0) -> str:
        return f"{PREFIX}{{{shard}}}:counters"

    def heartbeats(self) -> str:
        """Which processes have lately shown that they live."""
        return f"{PREFIX}{{0}}:heartbeats"

    def seen(self) -> str:
        """Which troubles operators have looked at."""
        return f"{PREFIX}{{0}}:seen"

    def activity(self) -> str:
        """The acts of operators."""
        return f"{PREFIX}{{0}}:activity"

    def series(self) -> str:
        """The metrics' counts as they stood every half hour."""
        return f"{PREFIX}{{0}}:series"

    def rollback(self) -> str:
        """The cursor of the look that follows a rollback."""
        return f"{PREFIX}{{0}}:rollback"

    def synced(self, job_id: str) -> str:
        """Written before each wait for the disk (`Scripts.run`)."""
        return f"{PREFIX}{{{self._shard(job_id)}}}:synced"

    def delivered(self, digest: str) -> str:
        """A signed callback that was taken, by its event and bytes."""
        return f"{PREFIX}{{{self._shard(digest)}}}:delivered:{digest}"

    def strays(self) -> str:
        return f"{PREFIX}{{0}}:strays"

    def took(self, provider: str, model: str) -> str:
        """The durations of a model's last generations."""
        return f"{PREFIX}{{{self._shard(model)}}}:took:{provider}:{model}"

    def paused(self) -> str:
        return f"{PREFIX}{{0}}:paused"

    def request(self, provider: str, request_id: str) -> str:
        """The index entry that says whose a request id is."""
        return f"{PREFIX}{{{self._shard(request_id)}}}:request:{provider}:{request_id}"

    def shard_of(self, job_id: str) -> int:
        return self._shard(job_id)

    def job_pattern(self) -> str:
        """The pattern by which SCAN finds every record."""
        return f"{PREFIX}{{*}}:job:*"

    def _shard(self, text: str) -> int:
        return crc32(text.encode(errors="backslashreplace")) % self.shards


def job_id_of(record_key: str) -> str:
    """The job whose record *record_key* holds."""
    return record_key.rpartition(":")[2]
