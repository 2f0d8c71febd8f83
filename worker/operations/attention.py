"""Attention: what needs somebody, worst first, each with its reason, its age and the act that helps.

A look is bounded however many jobs there are: of each section so many items are told, and `more` says that there are
others. An item that was marked as seen is left out until its job changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from worker.errors import CallsheetError
from worker.guard.text import printable
from worker.jobs.actor import Actor, given_by
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, HOUR, ms
from worker.operations import processes
from worker.operations.activity import record
from worker.operations.explain import View, explain, why_failed
from worker.operations.search import Filter, page
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.store.counters import Counter

MOST = 25
"""Items that are told of each section."""
LINK_SECONDS = 6 * HOUR
LOOKED_BACK_SECONDS = {"failed": DAY, "notifications": 7 * DAY}
NOTE_CHARACTERS = 200


class Section(StrEnum):
    """The kinds of trouble, the gravest first."""

    PROCESSES = "processes"
    LINKS = "links"
    UNCONFIRMED = "unconfirmed"
    STUCK = "stuck"
    NOTIFICATIONS = "notifications"
    FAILED = "failed"
    STRAYS = "strays"


TITLES = {
    Section.PROCESSES: "Processes that are missing",
    Section.LINKS: "Videos whose links end soon",
    Section.UNCONFIRMED: "Unconfirmed: perhaps paid for, never sent again by itself",
    Section.STUCK: "Stuck",
    Section.NOTIFICATIONS: "Notifications that were given up",
    Section.FAILED: "Failed in the last 24 hours, and not looked at",
    Section.STRAYS: "Callbacks that belonged to no job",
}
RUNBOOK = {
    Section.PROCESSES: "nothing-moves",
    Section.LINKS: "a-video-is-generated-and-not-archived",
    Section.UNCONFIRMED: "a-job-is-unconfirmed",
    Section.STUCK: "nothing-moves",
    Section.NOTIFICATIONS: "notification",
    Section.FAILED: "a-job-has-failed-and-the-video-is-wanted",
    Section.STRAYS: "callbacks-do-not-come-or-lie",
}
"""The heading of deploy/runbook.md that says what to do."""


@dataclass(frozen=True)
class Mark:
    """Somebody has looked at an item. `at` is Unix ms."""

    at: int
    by: str
    note: str = ""


@dataclass(frozen=True)
class Item:
    """One trouble. `key` names it while it is as it is; `since` is Unix ms; `act` is the act that may help."""

    key: str
    reason: str
    since: int | None = None
    job_id: str = ""
    state: str = ""
    act: str = ""
    mark: Mark | None = None


@dataclass(frozen=True)
class Group:
    """The items of one section; `more`: there are others that were not looked at or are not told."""

    section: Section
    items: tuple[Item, ...]
    more: bool = False
    seen: int = 0  # items that are left out, as somebody has looked at them

    @property
    def title(self) -> str:
        return TITLES[self.section]

    @property
    def runbook(self) -> str:
        return RUNBOOK[self.section]


@dataclass(frozen=True)
class Attention:
    """All that needs somebody now. `swept_at`: when the clock last ticked, Unix ms."""

    groups: tuple[Group, ...]
    swept_at: int | None
    now: int

    @property
    def count(self) -> int:
        return sum(len(group.items) for group in self.groups)


def look(reader: Reader, *, with_seen: bool = False) -> Attention:
    """All sections as they stand now; *with_seen* also what was looked at."""
    now = reader.store.clock.now()
    marks = {key: Mark(**mark) for key, mark in reader.store.seen.all().items()}
    found = {
        Section.PROCESSES: _processes(reader, now),
        **_of_open_jobs(reader),
        Section.NOTIFICATIONS: _notifications(reader, now),
        Section.FAILED: _failed(reader, now),
        Section.STRAYS: _strays(reader),
    }
    groups = []
    for section in Section:
        items, more = found[section]
        known = [_marked(item, marks) for item in items]
        told = [item for item in known if with_seen or item.mark is None]
        groups.append(Group(section, tuple(told[:MOST]), more or len(told) > MOST, len(known) - len(told)))
    return Attention(tuple(groups), reader.store.due.swept_at(), now)


def mark_seen(reader: Reader, keys: Sequence[str], by: Actor, note: str = "") -> int:
    """Note that *by* has looked at the items *keys*; they come back when their jobs change. How many were marked."""
    bad = [key for key in keys if not _is_key(key)]
    if bad or not keys:
        raise CallsheetError("items: name one or more of those that are shown")
    told = given_by(Actor(by.name, note))
    mark = {"at": reader.store.clock.now(), "by": told["by"], "note": told.get("reason", "")[:NOTE_CHARACTERS]}
    reader.store.seen.mark(dict.fromkeys(keys, mark))
    subjects = ", ".join(key.split("/")[1] for key in keys[:3]) + (
        f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    )
    record(reader.store, Actor(by.name, note), "seen", subjects, "marked as seen")
    return len(keys)


Found = tuple[list[Item], bool]


def _key(section: Section, subject: str, version: object) -> str:
    return f"{section}/{subject}/{version}"


def _is_key(key: str) -> bool:
    section, *rest = key.split("/")
    return section in set(Section) and len(rest) == 2 and len(key) <= 200 and key.isprintable()


def _marked(item: Item, marks: Mapping[str, Mark]) -> Item:
    return replace(item, mark=marks.get(item.key))


def _processes(reader: Reader, now: int) -> Found:
    missing = processes.troubles(reader.store.heartbeats.all(), now, takes_callbacks=reader.public_url is not None)
    return [Item(_key(Section.PROCESSES, t.kind, now // ms(HOUR)), f"{t.seen}; {t.advice}") for t in missing], False


def _of_open_jobs(reader: Reader) -> dict[Section, Found]:
    """The troubles of open jobs: among those that are due, and the oldest of each state."""
    figures = reader.store.metrics.read()
    found: dict[Section, list[Item]] = {Section.LINKS: [], Section.UNCONFIRMED: [], Section.STUCK: []}
    for view in reader.views(figures.oldest):
        section = _section(view)
        if section is not None:
            found[section].append(_of_job(section, view))
    for items in found.values():
        items.sort(key=lambda item: item.since or 0)
    ends = sum(count for within, count in figures.links_ending.items() if within == LINK_SECONDS)
    return {
        Section.LINKS: (found[Section.LINKS], ends > len(found[Section.LINKS])),
        Section.UNCONFIRMED: (
            found[Section.UNCONFIRMED],
            figures.jobs[JobState.UNCONFIRMED] > len(found[Section.UNCONFIRMED]),
        ),
        Section.STUCK: (found[Section.STUCK], len(found[Section.STUCK]) > MOST),
    }


def _section(view: View) -> Section | None:
    job = view.job
    if not why_stuck(view):
        return None
    if job.state is JobState.UNCONFIRMED:
        return Section.UNCONFIRMED
    left = None if job.link_expires_at is None else job.link_expires_at - view.now
    if job.state is JobState.GENERATED and left is not None and left < LINK_SECONDS * 1000:
        return Section.LINKS
    return Section.STUCK


def _of_job(section: Section, view: View) -> Item:
    job = view.job
    reasons = dict.fromkeys(filter(None, (why_stuck(view), why_failed(job))))
    acts = {Section.LINKS: "", Section.UNCONFIRMED: "ask", Section.STUCK: "ask" if job.state == "submitted" else ""}
    return Item(
        _key(section, job.id, job.ver),
        "; ".join(reasons),
        since=job.state_at,
        job_id=job.id,
        state=str(job.state),
        act=acts[section],
    )


def _notifications(reader: Reader, now: int) -> Found:
    if not reader.store.counters.all().get(Counter.NOTIFICATIONS_DEAD):
        return [], False
    since = now - ms(LOOKED_BACK_SECONDS["notifications"])
    found = page(reader, Filter(dead_notification=True, since=since), limit=2 * MOST)
    items = [
        Item(
            _key(Section.NOTIFICATIONS, view.job.id, view.job.ver),
            f"its receiver never took it; the job is {view.job.state}",
            since=view.job.state_at,
            job_id=view.job.id,
            state=str(view.job.state),
            act="renotify",
        )
        for view in found.jobs
    ]
    return items, found.next is not None


def _failed(reader: Reader, now: int) -> Found:
    since = now - ms(LOOKED_BACK_SECONDS["failed"])
    # lists go by acceptance: a job may fail a day after it
    wanted = Filter(states=frozenset({JobState.FAILED, JobState.EXPIRED}), since=since - ms(DAY))
    found = page(reader, wanted, limit=4 * MOST)
    items = [
        Item(
            _key(Section.FAILED, view.job.id, view.job.attempt),
            why_failed(view.job) or explain(view),
            since=view.job.state_at,
            job_id=view.job.id,
            state=str(view.job.state),
            act="retry",
        )
        for view in found.jobs
        if view.job.state_at >= since
    ]
    return items, found.next is not None


def _strays(reader: Reader) -> Found:
    return list(_stray_items(reader.store.callbacks.strays())), False


def _stray_items(strays: Iterable[Mapping[str, Any]]) -> Iterator[Item]:
    for stray in strays:
        job_id, at = printable(stray.get("job_id", ""))[:64].replace("/", "_"), int(stray["at"])
        words = f"{printable(stray.get('provider', ''))}, for {job_id}: {printable(stray.get('reason', ''))}"
        yield Item(_key(Section.STRAYS, job_id or "none", at), words, since=at)
