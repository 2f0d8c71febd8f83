"""The history of one job: its spec, the Celery requests that asked for it, and its timeline, all in one key."""

from __future__ import annotations

from typing import Any, cast

from worker.jobs.states import MovePath
from worker.store.compression import unpack
from worker.store.replies import TimelineEntry
from worker.store.scripts import Scripts, store_errors

BEFORE_MOVES = 2
"""A job's history begins with its spec and its Celery requests."""


class History:
    """The histories of the jobs of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def spec_json(self, job_id: str) -> str | None:
        """The spec as it was accepted."""
        kept = self._at_head(job_id, 0)
        return None if kept is None else unpack(kept)

    def requests(self, job_id: str) -> list[str]:
        """The Celery requests that asked for the job, each another one for its callers; the first that came first."""
        kept = self._at_head(job_id, 1) or b""
        return [line.decode() for line in kept.split(b"\n") if line]

    def save_request(self, job_id: str, request: str) -> bool:
        """Keep a caller's Celery request that is the job's first, or hangs something else on the job than those before
        (`messaging.results.capture`), eight at most; whether it was kept."""
        return bool(self._scripts.run_on_job("note", job_id, {"notes": {}}, request)[0])

    def timeline(self, job_id: str) -> list[TimelineEntry]:
        """The job's moves, of the latest 200 entries."""
        return [entry for entry in self.entries(job_id) if entry.source != entry.target]

    def entries(self, job_id: str) -> list[TimelineEntry]:
        """The job's moves and what operators did that moved nothing, the latest 200."""
        with store_errors():
            lines = cast("list[str]", self._scripts.client.lrange(self._keys.of(job_id)[4], BEFORE_MOVES, -1))
        return [read_entry(line) for line in lines]

    def _at_head(self, job_id: str, position: int) -> bytes | None:
        """The entries of the job's history before its moves."""
        client, history = cast("Any", self._scripts.client), self._keys.of(job_id)[4]
        with store_errors():
            return cast("bytes | None", client.execute_command("LINDEX", history, position, NEVER_DECODE=True))


def read_entry(line: str) -> TimelineEntry:
    """The entry of a line of the history."""
    at, source, target, path, attempt, detail = line.split(" ", 5)
    way, _, actor = path.partition(":")
    what, _, reason = detail.partition("\t")
    return TimelineEntry(int(at), source, target, cast("MovePath", way), int(attempt), what, actor, reason)
