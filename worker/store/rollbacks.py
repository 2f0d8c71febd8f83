"""Signs that Redis may have become an older self, and how far the look that follows has come.

A failover, a restart and a restored backup have one thing in common: another server answers, or the same one anew, and
says so by its run id. Each may have lost the last writes; closed jobs would never be looked at again, whatever their
callers were told. So after each, the jobs that have ended without a video are looked through once, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import redis

from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.store.cluster import masters
from worker.store.lists import NEWEST, Lists, Position
from worker.store.move_arguments import read_reply
from worker.store.replies import Reply
from worker.store.scripts import Scripts, store_errors

LOOKED_THROUGH = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)
"""States of jobs that may have gone on before Redis lost that; from `archived` none goes on."""
PAGE = 100
AGAIN_MS = 15_000
"""A page that nobody has turned for so long is given out again: the message was lost, or its process."""
ONE_ROLLBACK_MS = 10 * 60 * 1000
"""Jobs that were set back and are met within so long were set back together."""


@dataclass(frozen=True)
class Page:
    """Some jobs to look at. `mark` says which page it is."""

    mark: str
    job_ids: tuple[str, ...]
    next_mark: str  # empty: it is the last one


class Rollbacks:
    """The look through one Redis' jobs: where it has come to is one small hash."""

    def __init__(self, scripts: Scripts, lists: Lists) -> None:
        self._scripts = scripts
        self._key = scripts.keys.rollback()
        self._lists = lists
        self._now = scripts.clock.now

    def watch(self) -> bool:
        """Begin a look if another server answers than before; whether its next page is to be given out now."""
        servers = self._servers()
        held = self._held()
        if servers and held.get("servers") != servers:
            self._write(servers=servers)
            if "servers" in held:
                self._begin()
                held = self._held()
        if "mark" not in held or 0 <= self._now() - int(held["given_at"]) < AGAIN_MS:
            return False
        self._write(given_at=str(self._now()))
        return True

    def note(self) -> None:
        """A job was met that had been set back: look through the others, unless that has just been done for it."""
        held = self._held()
        if "mark" not in held and abs(self._now() - int(held.get("begun_at", 0))) > ONE_ROLLBACK_MS:
            self._begin()

    def page(self) -> Page | None:
        """The page that the look has come to; None: there is none under way."""
        mark = self._held().get("mark")
        if mark is None:
            return None
        begun_at, accepted_at, job_id = mark.split(" ", 2)
        places = self._lists.newest(LOOKED_THROUGH, after=Position(int(accepted_at), job_id), most=PAGE)
        is_last = len(places) < PAGE
        next_mark = "" if is_last else f"{begun_at} {places[-1].accepted_at} {places[-1].job_id}"
        return Page(mark, tuple(place.job_id for place in places), next_mark)

    def turn(self, page: Page) -> bool:
        """Note that the jobs of *page* were looked at; False: another process has done so, or the look began anew."""
        given_at = str(self._now())
        return bool(self._scripts.run("turn_page", [self._key], [page.mark, page.next_mark, given_at]))

    def retell(self, job: Job, *, at: int, detail: str) -> Reply:
        """Have a final job's end told again, as later than what was told *at* that instant, Unix ms; durable.

        `late`: the record is no longer *job*'s version.
        """
        given = {"ver": job.ver, "at": at, "path": "sweep", "detail": detail}
        return read_reply(job.id, self._scripts.run_on_job("retell", job.id, given, durable=True))

    def _begin(self) -> None:
        now = str(self._now())
        self._write(begun_at=now, mark=f"{now} {NEWEST.accepted_at} {NEWEST.job_id}", given_at="0")

    def _held(self) -> dict[str, str]:
        with store_errors():
            return cast("dict[str, str]", self._scripts.client.hgetall(self._key))

    def _write(self, **fields: str) -> None:
        with store_errors():
            self._scripts.client.hset(self._key, items=[part for field in fields.items() for part in field])

    def _servers(self) -> str:
        """The run ids of the servers that answer; empty where our user may not ask for them."""
        with store_errors():
            try:
                told = [server.info("server").get("run_id", "") for server in masters(self._scripts.client)]
            except redis.exceptions.NoPermissionError:
                return ""
        return ",".join(sorted(str(run_id) for run_id in told if run_id))
