"""Operators' writes: try jobs again, hold a provider back, have jobs looked at now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import redis

from worker.errors import UnknownLayoutError
from worker.jobs.actor import Actor, given_by
from worker.jobs.job import Job, Video, is_job_id, videos_json
from worker.jobs.manifest import Restorable
from worker.jobs.states import MISSED, RETRIES, UNPAID, JobState
from worker.store.callbacks import Arrivals
from worker.store.compression import pack
from worker.store.keys import Keys
from worker.store.lists import RANKS
from worker.store.move_arguments import BINDING, LISTENING, ROOM, move_given, read_reply
from worker.store.reads import BATCH
from worker.store.replies import Reply
from worker.store.scripts import store_errors

DAY_MS = 24 * 60 * 60 * 1000
TOMBSTONE_MS = 90 * DAY_MS
"""The life of a job's tombstone beyond that of its record."""

MENDED = {
    "added": "was open but never due: it is due now",
    "removed": "was due but not open: its entry is removed",
    "listed": "was not where the lists look for it: now it is",
    "unlisted": "was listed without a record: its entry is removed",
}


class Operations(Arrivals):
    """The store under an operator's hands."""

    def __init__(self, client: redis.Redis, keys: Keys, clock: Callable[[], int] | None, retention_ms: int) -> None:
        super().__init__(client, keys, clock)
        self._retention_ms = retention_ms

    def try_again(
        self, job_id: str, *, attempt: int, pay_again: bool, detail: str = "", by: Actor | None = None
    ) -> Reply:
        """Begin a new attempt at a job whose *attempt* has ended without a video; durable.

        `paid`: one of its attempts may have been taken, which *pay_again* accepts.
        `asking`: a callback that was kept has yet to be looked at.
        """
        given = {
            "attempt": attempt,
            "sources": ",".join(RETRIES[JobState.ACCEPTED]),
            "unpaid": ",".join(UNPAID),
            "pay_again": pay_again,
            "state": JobState.ACCEPTED,
            "rank": RANKS[JobState.ACCEPTED],
            "path": "operator",
            "detail": detail,
            "max_old_events": ROOM["max_old_events"],
            **given_by(by),
        }
        return read_reply(job_id, self._run("attempt", job_id, given, durable=True))

    def restore(self, told: Restorable, by: Actor | None = None) -> str:
        """Record an archived job that nothing is known of, closed: `applied`, `repeat` (it is known), or `taken`
        (one of its request ids belongs to another job)."""
        lifetime_ms = 3 * self._retention_ms + TOMBSTONE_MS
        for request_id in told.request_ids.values():
            if self._own(told.job_id, told.provider, request_id, lifetime_ms) != told.job_id:
                return "taken"
        given = {
            "fields": dict(told.fields),
            "rank": RANKS[JobState(told.fields["state"])],
            "path": "operator",
            "detail": "restored from its manifest",
            "retention_ms": self._retention_ms,
            "tombstone_ms": self._retention_ms + TOMBSTONE_MS,
            **given_by(by),
        }
        return str(self._run("restore", told.job_id, given, pack(told.spec_json), durable=True)[0])

    def adopt(self, job: Job, told: Restorable, *, path: str, by: Actor | None = None) -> Reply:
        """Record the videos that a manifest in the bucket proves, with the requests that made them.

        `late`: a request of the job is under way, and its own video will come. `taken`: one of the manifest's request
        ids belongs to another job.
        """
        lifetime_ms = 3 * self._retention_ms + TOMBSTONE_MS
        for request_id in told.request_ids.values():
            if self._own(job.id, told.provider, request_id, lifetime_ms) != job.id:
                return Reply("taken", job)
        kept = {name: told.fields[name] for name in ("videos", "ignored", "differs", "usage") if name in told.fields}
        requests = {f"request_id.{attempt}": request_id for attempt, request_id in told.request_ids.items()}
        made_in = {} if told.made_in == job.attempt else {"videos_attempt": str(told.made_in)}
        return self._move(
            job.id,
            JobState.ARCHIVED,
            attempt=job.attempt,
            path=path,
            sources=told.ends(job),
            facts={**requests, **kept},
            notes={"generated_by": told.fields["generated_by"], "progress": "100", **made_in},
            detail="by the manifest in the bucket",
            **given_by(by),
        )

    def recall(self, job_id: str, fingerprint: str, *, by: Actor | None = None, preview: bool = False) -> Reply:
        """Have a stored callback looked at again; a *preview* gives the same answer and changes nothing.

        `late`: it is of another attempt, or the job needs no callback any more. `gone`: it is not kept.
        `full`: there is no room for another candidate.
        """
        given = {
            "fingerprint": fingerprint,
            "listening": ",".join(LISTENING),
            "binding": ",".join(BINDING),
            "max_candidates": ROOM["max_candidates"],
            "detail": "a callback that was kept is looked at again",
            "preview": preview,
            **given_by(by),
        }
        return read_reply(job_id, self._run("recall", job_id, given, durable=not preview))

    def look_now(self, job_id: str, *, detail: str, by: Actor | None = None) -> Reply:
        """Make an open job due now, with who asked for it in its timeline; `late`: it is closed."""
        return read_reply(job_id, self._run("hasten", job_id, {"detail": detail, **given_by(by)}, durable=True))

    def archive_earlier(
        self, job: Job, earlier: int, videos: Sequence[Video], facts: Mapping[str, str] | None = None
    ) -> Reply:
        """Record that *videos*, of an *earlier* attempt than *job*'s, which ended without one, are in the bucket, and
        *facts* about them."""
        return self._move(
            job.id,
            JobState.ARCHIVED,
            attempt=job.attempt,
            path="sweep",
            sources=MISSED,
            notes={
                **(facts or {}),
                "videos": videos_json(videos),
                "videos_attempt": str(earlier),
                "generated_by": "poll",
            },
            owes_manifest=True,
            detail=f"attempt {earlier}: {sum(video.bytes for video in videos)} bytes",
        )

    def _move(self, job_id: str, to: JobState, **asked: Any) -> Reply:
        given = move_given(to, look_back_ms=self._retention_ms, **asked)
        return read_reply(job_id, self._run("move", job_id, given, durable=True))

    def pause(self, provider: str, by: Actor | None = None) -> int:
        """Have no POST begun at *provider* until it is resumed; since when that is so, Unix ms."""
        held = json.dumps({"since": self.now(), **given_by(by)})
        with store_errors():
            self._client.hsetnx(self._keys.paused(), provider, held)
        return self.paused().get(provider, self.now())

    def resume(self, provider: str) -> bool:
        """Let POSTs to *provider* begin again; whether it was paused."""
        with store_errors():
            return bool(self._client.hdel(self._keys.paused(), provider))

    def paused(self) -> dict[str, int]:
        """Every paused provider -> since when, Unix ms."""
        return {provider: held["since"] for provider, held in self.pauses().items()}

    def pauses(self) -> dict[str, dict[str, Any]]:
        """Every paused provider -> `since` (Unix ms), and `by` whom and the `reason`, where those are known."""
        return {provider: json.loads(held) for provider, held in self._hash(self._keys.paused()).items()}

    def mend(self) -> list[str]:
        """Repair every breach that `audit` finds; what was done, a sentence each."""
        done = [(job_id, self._mend(job_id)) for job_id in self._suspects()]
        return [f"{job_id if is_job_id(job_id) else repr(job_id)[:80]} {MENDED[word]}" for job_id, word in done if word]

    def _mend(self, job_id: str) -> str:
        if is_job_id(job_id):
            try:
                return str(self._run("mend", job_id, {"ranks": RANKS}, durable=True))
            except UnknownLayoutError:
                return ""
        with store_errors():
            for word, keys in (("removed", self._keys.due), ("unlisted", self._keys.listed)):
                if sum(int(self._client.zrem(keys(shard), job_id)) for shard in range(self._keys.shards)):
                    return word
        return ""

    def hasten(self, job_ids: Iterable[str]) -> int:
        """Make those of *job_ids* that are open and due later due now; how many. At worst one is nudged in vain."""
        ids, now, hastened = iter(job_ids), self.now(), 0
        with store_errors():
            while batch := list(islice(ids, BATCH)):
                pipeline = self._client.pipeline(transaction=False)
                for job_id in batch:
                    # never an entry for a job that is not open, never one put off
                    pipeline.zadd(self._keys.of(job_id)[1], {job_id: now}, xx=True, lt=True, ch=True)
                hastened += sum(int(changed) for changed in pipeline.execute())
        return hastened
