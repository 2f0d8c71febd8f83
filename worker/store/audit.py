"""Breaches of what must hold between the records and the indexes, found and repaired."""

from __future__ import annotations

from collections.abc import Iterator

from worker.errors import UnknownLayoutError
from worker.jobs.job import is_job_id
from worker.jobs.states import JobState
from worker.store.due_index import DueIndex
from worker.store.lists import RANKS, score
from worker.store.records import BATCH, Records, is_readable
from worker.store.scripts import Scripts, store_errors

MENDED = {
    "added": "was open but never due: it is due now",
    "removed": "was due but not open: its entry is removed",
    "listed": "was not where the lists look for it: now it is",
    "unlisted": "was listed without a record: its entry is removed",
}


class Audit:
    """The audit of one store."""

    def __init__(self, scripts: Scripts, records: Records, due: DueIndex) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._records = records
        self._due = due

    def breaches(self) -> list[str]:
        """Breaches of "open <=> exactly one due entry" and "a record <=> exactly one entry of its state in lists", a
        sentence each; empty on a sound system."""
        return [problem for job_id in self._suspects() if (problem := self._breach(job_id))]

    def mend(self) -> list[str]:
        """Repair every breach that `breaches` finds; what was done, a sentence each."""
        done = [(job_id, self._mend(job_id)) for job_id in self._suspects()]
        return [f"{job_id if is_job_id(job_id) else repr(job_id)[:80]} {MENDED[word]}" for job_id, word in done if word]

    def _mend(self, job_id: str) -> str:
        if is_job_id(job_id):
            try:
                return str(self._scripts.run_on_job("mend", job_id, {"ranks": RANKS}, durable=True))
            except UnknownLayoutError:
                return ""
        with store_errors():
            for word, keys in (("removed", self._keys.due), ("unlisted", self._keys.listed)):
                if sum(int(self._scripts.client.zrem(keys(shard), job_id)) for shard in range(self._keys.shards)):
                    return word
        return ""

    def _suspects(self) -> list[str]:
        """Ids that what `breaches` looks at did not hold for while all were looked through."""
        seen = list(self._records.outlines())
        unlike_due = {job.id for job in seen if job.is_open} ^ {job_id for _, job_id in self._due.open_ids()}
        wanted = {(job.id, score(job.state, job.accepted_at)) for job in seen}
        return sorted(unlike_due | {job_id for job_id, _ in wanted ^ set(self._listed())})

    def _breach(self, job_id: str) -> str | None:
        """The fault of one job, read in one transaction: it may have moved since it was suspected."""
        if not is_job_id(job_id):
            return f"{job_id!r:.80} is due or listed but can be no job"
        record, due, *_ = self._keys.of(job_id)
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=True)
            pipeline.hmget(record, "state", "closed_at", "accepted_at", "v")
            pipeline.zscore(due, job_id)
            pipeline.zscore(self._keys.listed(self._keys.shard_of(job_id)), job_id)
            pipeline.zscore(self._keys.closed(self._keys.shard_of(job_id)), job_id)
            (state, closed_at, accepted_at, version), due_at, listed_at, ends_at = pipeline.execute()
        if state is None:
            # a record that has ended is taken out of the lists by the next sweep
            left = "listed" if listed_at is not None and ends_at is None else ""
            left = "due" if due_at is not None else left
            return f"{job_id} is {left} but has no record" if left else None
        if closed_at is not None and due_at is not None:
            return f"{job_id} is closed but due"
        if closed_at is None and due_at is None:
            return f"{job_id} is open ({state}) but never due"
        if is_readable(version) and listed_at != score(JobState(state), int(accepted_at or 0)):
            return f"{job_id} is {state} but not where the lists look for it"
        return None

    def _listed(self) -> Iterator[tuple[str, int]]:
        """Every entry of the lists' index as (job id, score), in no order."""
        with store_errors():
            for shard in range(self._keys.shards):
                for job_id, at in self._scripts.client.zscan_iter(self._keys.listed(shard), count=BATCH):
                    yield job_id, int(at)
