"""Search: pages of jobs, newest first, by filter and cursor.

State and acceptance are looked up in the index of the lists. All other conditions are looked at while walking it, for a
bounded number of records a page; a page says back to when it has looked. A cursor names the place of the last job
looked at, which no move of any job changes: pages neither repeat a job nor leave one out that stays.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import CallsheetError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import is_job_id
from worker.jobs.notification import is_dead
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.explain import View
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.operations.waits import NOTED, WAIT_IN, code_of
from worker.store.lists import NEWEST, RANK_STEP, Position, Sieve

MOST_RECORDS = 10_000
"""Records looked at for one page, by fields of the record that Redis itself compares."""
MOST_READ = 1_000
"""Of these, the records that are read in whole for one page: where the condition is a matter of judgement."""
FIRST_LOOK, LONGEST_LOOK = 100, 1_000
"""Records looked at in one go: few at first, as a filter that fits much is served by few, and never so many that Redis
keeps others waiting for more than some milliseconds."""
MOST_JOBS = 500
"""Jobs on one page."""
MOST_PAGES = 250
"""Pages looked through for one list that wants more than a page holds, or finds little."""
CURSOR = re.compile(r"([0-9]{1,13})[.](.*)")


@dataclass(frozen=True)
class Filter:
    """The wanted jobs. An empty set of states means any; None and False, that it does not matter."""

    states: frozenset[JobState] = frozenset()
    provider: str | None = None
    model: str | None = None  # the provider's own name
    tenant: str | None = None
    batch: str | None = None
    error_code: str | None = None
    since: int | None = None  # accepted at or after, Unix ms
    until: int | None = None  # accepted at or before, Unix ms
    metadata: tuple[tuple[str, str], ...] = ()  # names and values of the caller's metadata, as text
    is_open: bool | None = None
    differs: bool = False  # archived, and not as it was asked
    stuck: bool = False  # open, and not going on as it should
    waits_for: WaitCode | None = None
    dead_notification: bool = False  # told to a receiver that never took it

    @property
    def in_states(self) -> frozenset[JobState]:
        """The states that a wanted job can be in. An expired job has its code by its state alone."""
        possible = self.states or frozenset(JobState)
        if self.error_code == ErrorCode.EXPIRED:
            possible &= {JobState.EXPIRED}
        return possible & WAIT_IN.get(self.waits_for, possible) if self.waits_for else possible

    @property
    def sieve(self) -> Sieve:
        """The conditions that Redis compares."""
        code = None if self.error_code == ErrorCode.EXPIRED else self.error_code
        fields = {
            "provider": self.provider,
            "model": self.model,
            "tenant": self.tenant,
            "batch": self.batch,
            "error_code": code,
            "waits": str(self.waits_for) if self.waits_for in NOTED else None,
        }
        present = {
            "closed_at": self.is_open is False,
            "differs": self.differs,
            "not_before": self.waits_for is WaitCode.SCHEDULED,
            "notify_dead": self.dead_notification,
        }
        wants_open = self.is_open or self.stuck or self.waits_for not in (None, WaitCode.NOTHING)
        return Sieve(
            equal=tuple((name, value) for name, value in fields.items() if value is not None),
            has=tuple(name for name, is_wanted in present.items() if is_wanted),
            lacks=("closed_at",) if wants_open else (),
        )

    @property
    def needs_reading(self) -> bool:
        """True where a record must be read in whole to be judged."""
        return bool(self.metadata) or self.stuck or self.waits_for is not None


@dataclass(frozen=True)
class Page:
    """Some jobs, the newest first. `next`: the cursor of the page after it; None: there is none.

    `searched_to`: every job after the cursor that was accepted at that instant (Unix ms) or later was looked at; None:
    every job was.
    """

    jobs: tuple[View, ...]
    next: str | None
    searched_to: int | None


def page(reader: Reader, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page:
    """The first *limit* of the *wanted* jobs after *cursor*; raises `CallsheetError` for a cursor that is none."""
    if not 1 <= limit <= MOST_JOBS:
        raise CallsheetError(f"limit: must be 1 to {MOST_JOBS}")
    start = NEWEST if cursor is None else read_cursor(cursor)
    if wanted.until is not None:
        start = min(start, Position(wanted.until + 1, ""))
    walk = _Walk(reader, wanted, start)
    jobs: list[View] = []
    for view in walk.views(limit):
        jobs.append(view)
        if len(jobs) == limit:
            break
    if len(jobs) == limit:
        last = Position(jobs[-1].job.accepted_at, jobs[-1].job.id)
        if walk.is_older(last):
            return Page(tuple(jobs), write_cursor(last), last.accepted_at)
        return Page(tuple(jobs), None, None)
    if walk.is_done:
        return Page(tuple(jobs), None, None)
    return Page(tuple(jobs), write_cursor(walk.reached), walk.reached.accepted_at)


def collect(reader: Reader, wanted: Filter, cursor: str | None = None, limit: int = 50) -> Page:
    """*limit* of the wanted jobs as one page, however far back it must be looked for them, up to MOST_PAGES pages."""
    jobs: list[View] = []
    for _ in range(MOST_PAGES):
        found = page(reader, wanted, cursor, min(MOST_JOBS, limit - len(jobs)))
        jobs += found.jobs
        cursor = found.next
        if cursor is None or len(jobs) >= limit:
            break
    return Page(tuple(jobs), cursor, found.searched_to)


class _Walk:
    """A walk back through the jobs of the wanted states. `reached`: the last one that was looked at."""

    def __init__(self, reader: Reader, wanted: Filter, start: Position) -> None:
        self._reader = reader
        self._lists = reader.store.lists
        self._wanted = wanted
        self._states = wanted.in_states
        self._since = max(0, wanted.since or 0)
        self.reached = start
        self.is_done = False

    def views(self, limit: int) -> Iterator[View]:
        """The wanted jobs; ends at the oldest, or when as many records were looked at as one page may."""
        sieve, looked_at, read = self._wanted.sieve, 0, 0
        is_bare = sieve.is_open and not self._wanted.needs_reading
        size = limit if is_bare else max(FIRST_LOOK, min(limit, LONGEST_LOOK))
        while not self.is_done and looked_at < MOST_RECORDS and read < MOST_READ:
            size = min(size, MOST_RECORDS - looked_at)
            places = self._lists.newest(self._states, after=self.reached, since=self._since, most=size)
            fitting = self._lists.sift([place.job_id for place in places], sieve)
            if self._wanted.needs_reading and len(fitting) > MOST_READ - read:
                # only as far as is read
                fitting = fitting[: MOST_READ - read]
                places = places[: 1 + [place.job_id for place in places].index(fitting[-1])]
            else:
                self.is_done = len(places) < size
            looked_at, read = looked_at + len(places), read + len(fitting)
            if places:
                self.reached = places[-1]
            yield from self._judged(fitting)
            size = min(LONGEST_LOOK, 4 * size)

    def is_older(self, position: Position) -> bool:
        """True where a job of the wanted states and time comes after *position*."""
        return bool(self._lists.newest(self._states, after=position, since=self._since, most=1))

    def _judged(self, job_ids: Sequence[str]) -> Iterator[View]:
        """Of *job_ids*, the jobs that are wanted; one that has moved on to another state meanwhile is not."""
        wanted = self._wanted
        if wanted.metadata:
            job_ids = [
                job_id for job_id, kept in self._reader.store.records.metadata(job_ids) if _has(kept, wanted.metadata)
            ]
        for view in self._reader.views(job_ids):
            if view.job.state not in self._states or (wanted.dead_notification and not is_dead(view.job)):
                continue
            if wanted.waits_for in (None, code_of(view)) and (not wanted.stuck or why_stuck(view)):
                yield view


def _has(kept: dict[str, Any], wanted: Sequence[tuple[str, str]]) -> bool:
    """Whether the caller's metadata has each name with that value; what is no text is compared as JSON."""
    return all(name in kept and _text(kept[name]) == value for name, value in wanted)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write_cursor(position: Position) -> str:
    """*position* as a cursor: opaque text that fits into a URL."""
    return urlsafe_b64encode(f"{position.accepted_at}.{position.job_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """The position that a cursor names; raises `CallsheetError`."""
    try:
        plain = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)).decode("ascii")
    except (UnicodeError, binascii.Error):
        plain = ""
    found = CURSOR.fullmatch(plain)
    if found is None or int(found[1]) >= RANK_STEP or not (found[2] == "" or is_job_id(found[2])):
        raise CallsheetError("cursor: is none of ours; take `next` of the page before, or leave it out")
    return Position(int(found[1]), found[2])
