"""Search: many jobs by filter, the open ones soonest due first, else the newest first.

Open jobs come from the due index and are looked at only as far as wanted. Closed ones stand in no index: all records
are looked through, up to a bound that is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice

from worker.jobs.states import FINAL, JobState
from worker.operations.explain import View
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.store import Outline, Store

MOST_RECORDS = 1_000_000
"""Records looked through where no index helps; then the search ends and says so."""


@dataclass(frozen=True)
class Filter:
    """The wanted jobs; an empty set of states means any, None that it does not matter."""

    states: frozenset[JobState] = frozenset()
    provider: str | None = None
    is_open: bool | None = None
    accepted_since: int | None = None  # Unix ms
    only_stuck: bool = False  # open jobs that do not go on as they should

    @property
    def only_open(self) -> bool:
        """True where every wanted job stands in the due index: all that are not final do."""
        return self.is_open is True or (bool(self.states) and not self.states & FINAL)

    def takes(self, outline: Outline) -> bool:
        return (
            (not self.states or outline.state in self.states)
            and self.provider in (None, outline.provider)
            and self.is_open in (None, outline.is_open)
            and (self.accepted_since is None or outline.accepted_at >= self.accepted_since)
        )


@dataclass(frozen=True)
class Found:
    """The jobs in their order. `has_more`: there are others beyond the limit; `is_cut`: not all were looked through."""

    views: tuple[View, ...]
    has_more: bool = False
    is_cut: bool = False


def search(reader: Reader, wanted: Filter, limit: int) -> Found:
    """The first *limit* of the *wanted* jobs."""
    walk = _Walk()
    views = list(islice(_views(reader, wanted, limit, walk), limit + 1))
    return Found(tuple(views[:limit]), len(views) > limit, walk.is_cut)


class _Walk:
    """A walk through records that ends at MOST_RECORDS, and remembers whether it did."""

    def __init__(self) -> None:
        self.is_cut = False

    def bounded(self, outlines: Iterable[Outline]) -> Iterator[Outline]:
        for seen, outline in enumerate(outlines):
            if seen >= MOST_RECORDS:
                self.is_cut = True
                return
            yield outline


def _views(reader: Reader, wanted: Filter, limit: int, walk: _Walk) -> Iterator[View]:
    """The wanted jobs in their order, one more than *limit* at most."""
    store, now = reader.store, reader.store.now()
    due = {job_id: due_at for due_at, job_id in store.open_ids()}
    if not wanted.only_stuck:
        found = _found(store, wanted, due, limit, walk)
        yield from (reader.viewed(job, due.get(job.id), now) for job in store.read(found))
        return
    # an open job that is in no index, too, is stuck
    wanted = replace(wanted, is_open=True)
    ids = [outline.id for outline in walk.bounded(store.outlines()) if wanted.takes(outline)]
    ids.sort(key=lambda job_id: due.get(job_id, 0))
    views = (reader.viewed(job, due.get(job.id), now) for job in store.read(ids))
    yield from (view for view in views if why_stuck(view))


def _found(store: Store, wanted: Filter, due: Mapping[str, int], limit: int, walk: _Walk) -> list[str]:
    """The ids of the wanted jobs in their order, one more than *limit* at most."""
    if wanted.only_open:
        fitting = (outline for outline in store.outlines(due) if wanted.takes(outline))
        return [outline.id for outline in islice(fitting, limit + 1)]
    fitting = (outline for outline in walk.bounded(store.outlines()) if wanted.takes(outline))
    return [outline.id for outline in nlargest(limit + 1, fitting, key=lambda outline: outline.accepted_at)]
