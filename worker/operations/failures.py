"""Failures in groups: the same code, provider and model, over the last hour, day or week.

A look is bounded: it walks back through the failed jobs, at most MOST_RECORDS, and says how far it has looked. They
are found by when they were accepted and counted by when they failed, so it begins a day before the span.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from worker.jobs.durations import iso
from worker.jobs.error_codes import ErrorCode
from worker.jobs.states import UNPAID, JobState
from worker.jobs.timing import DAY, HOUR, ms
from worker.operations.explain import why_failed
from worker.operations.view import Reader
from worker.store.lists import NEWEST, Tally

SPANS = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY}
"""Each span by its name, in seconds."""
STATES = frozenset({JobState.FAILED, JobState.EXPIRED})
MOST_RECORDS, AT_ONCE = 10_000, 1_000
FIELDS = ("state", "error_stage", "error_code", "provider", "model", "cost")
"""By which failed records are counted."""
FREE = frozenset({"failed(archive)", str(JobState.EXPIRED)})
"""The ends after which a retry needs no new attempt, so it costs nothing."""


@dataclass(frozen=True)
class Group:
    """Jobs that failed alike. `free`: a retry of them costs nothing, or pays a first time.

    `again`: an attempt of theirs may have been paid for, and a retry pays `usd_again` once more; `unpriced` of them at
    a price that is not known.
    """

    code: str
    provider: str
    model: str
    count: int
    sample_id: str
    sample: str = ""
    free: int = 0
    again: int = 0
    usd_again: Decimal = Decimal(0)
    unpriced: int = 0

    def document(self) -> dict[str, Any]:
        """The group for a program."""
        return {**vars(self), "usd_again": f"{self.usd_again:f}"}


@dataclass(frozen=True)
class Failures:
    """The groups of one span, the largest first. `searched_to`: back to when all were looked at, Unix ms; None: all."""

    span: str
    groups: tuple[Group, ...]
    searched_to: int | None

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    def document(self) -> dict[str, Any]:
        """The groups for a program."""
        searched_to = None if self.searched_to is None else iso(self.searched_to)
        return {"span": self.span, "groups": [group.document() for group in self.groups], "searched_to": searched_to}


def look(reader: Reader, span: str) -> Failures:
    """The failures of the last *span*, one of SPANS."""
    since = reader.store.clock.now() - ms(SPANS[span])
    found: dict[tuple[str, str, str], Group] = {}
    walk = _Walk(reader, since)
    for tally in walk.tallies():
        state, stage, code, provider, model, cost = tally.values
        held = f"failed({stage})" if state == JobState.FAILED else state
        key = (code or str(ErrorCode.EXPIRED), provider, model)
        group = found.get(key) or Group(*key, count=0, sample_id=tally.first)
        found[key] = _with(group, tally.jobs, held, cost)
    groups = sorted(found.values(), key=lambda group: (-group.count, group.code, group.provider, group.model))
    return Failures(span, tuple(_sampled(reader, groups)), walk.searched_to)


def _with(group: Group, count: int, held: str, cost: str) -> Group:
    """*group* with so many jobs more, which ended as *held*."""
    group = replace(group, count=group.count + count)
    if held in FREE or held in UNPAID:
        return replace(group, free=group.free + count)
    priced = json.loads(cost).get("amount") if cost else None
    return replace(
        group,
        again=group.again + count,
        usd_again=group.usd_again + (Decimal(priced) * count if priced else 0),
        unpriced=group.unpriced + (0 if priced else count),
    )


def _sampled(reader: Reader, groups: list[Group]) -> Iterator[Group]:
    """*groups*, each with the message of one of its jobs."""
    jobs = {job.id: job for job in reader.store.records.read([group.sample_id for group in groups])}
    for group in groups:
        job = jobs.get(group.sample_id)
        yield replace(group, sample=(why_failed(job) or "") if job else "")


class _Walk:
    """A walk back through the failed jobs."""

    def __init__(self, reader: Reader, since: int) -> None:
        self._lists = reader.store.lists
        self._since = since
        self.searched_to: int | None = None

    def tallies(self) -> Iterator[Tally]:
        reached, looked_at, accepted_since = NEWEST, 0, max(0, self._since - ms(DAY))
        while looked_at < MOST_RECORDS:
            places = self._lists.newest(STATES, after=reached, since=accepted_since, most=AT_ONCE)
            yield from self._lists.tally([place.job_id for place in places], FIELDS, "state_at", self._since)
            looked_at += len(places)
            if len(places) < AT_ONCE:
                return
            reached = places[-1]
        self.searched_to = reached.accepted_at
