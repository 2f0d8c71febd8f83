"""Compare Redis with the bucket: a Redis that was emptied, or is another, knows none of the bucket's jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.store import Store

if TYPE_CHECKING:
    from worker.bucket.bucket import Bucket

ADVICE = (
    "was Redis emptied, or is CALLSHEET_REDIS_URL another? callsheet restore tells which archived jobs can be brought "
    "back; the requests of the others are paid for and known to their provider alone (deploy/runbook.md)"
)


@dataclass(frozen=True)
class Comparison:
    """The number of the bucket's jobs looked for in Redis, and those that it has neither record nor tombstone of."""

    looked_for: int
    lost: tuple[str, ...]

    @property
    def words(self) -> str:
        return (
            f"Redis knows nothing of {len(self.lost)} of {self.looked_for} jobs that the bucket has of today and "
            f"yesterday, such as {self.lost[0]}"
        )


def compare(store: Store, bucket: Bucket) -> Comparison:
    """Look in Redis for some of the jobs that the bucket knows of since yesterday; raises `BucketError`."""
    known = sorted(bucket.recent_jobs(store.clock.now()))
    return Comparison(len(known), tuple(job_id for job_id in known if not store.jobs.knows(job_id)))
