"""A provider's last 24 hours: POSTs, ends, durations and callbacks, by half hours and in sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from worker.jobs.durations import iso
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, ms
from worker.operations.view import Reader
from worker.store.metrics import Histogram
from worker.store.series import SLOT_MS, Counts

ENDS = (JobState.ARCHIVED, JobState.FAILED, JobState.EXPIRED)
GENERATION = Histogram.GENERATION_DURATION


@dataclass(frozen=True)
class Slot:
    """The events of a half hour, or longer where no look was taken between. `at` is its beginning, Unix ms."""

    at: int
    submits: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)
    callbacks: Mapping[str, int] = field(default_factory=dict)
    buckets: Mapping[str, int] = field(default_factory=dict)

    @property
    def p50(self) -> float | None:
        return quantile(self.buckets, 0.5)

    @property
    def p90(self) -> float | None:
        return quantile(self.buckets, 0.9)


@dataclass(frozen=True)
class ProviderDay:
    """The last 24 hours of one provider, as far as they are on record: `since`, Unix ms."""

    provider: str
    since: int
    slots: tuple[Slot, ...]
    total: Slot

    @property
    def success_percent(self) -> float | None:
        """Of the jobs that ended, the share with a video; None where none ended."""
        ended = sum(self.total.ends.get(state, 0) for state in ENDS)
        return 100 * self.total.ends.get(JobState.ARCHIVED, 0) / ended if ended else None

    def document(self) -> dict[str, Any]:
        """The sums for a program."""
        total = self.total
        return {
            "since": iso(self.since),
            "submits": dict(total.submits),
            "ends": dict(total.ends),
            "success_percent": None if self.success_percent is None else round(self.success_percent, 1),
            "generation_seconds": {"p50": total.p50, "p90": total.p90},
            "callbacks": dict(total.callbacks),
        }


def days(reader: Reader) -> dict[str, ProviderDay]:
    """The last 24 hours of each configured provider."""
    now = reader.store.clock.now()
    first_at = now // SLOT_MS * SLOT_MS - ms(DAY) + SLOT_MS
    looks = [(at, counts) for at, counts in reader.store.series.all() if at >= first_at - SLOT_MS]
    looks = [*looks, (now, reader.store.series.now())]
    return {name: _day(name, first_at, looks) for name in reader.providers}


def _day(provider: str, first_at: int, looks: Sequence[tuple[int, Counts]]) -> ProviderDay:
    found: dict[int, Slot] = {}
    for (at, before), (_, after) in pairwise(looks):
        found[at] = _slot(at, provider, before, after)
    ats = range(first_at, first_at + ms(DAY), SLOT_MS)
    since = max(first_at, looks[0][0])
    total = _slot(since, provider, looks[0][1], looks[-1][1])
    return ProviderDay(provider, since, tuple(found.get(at, Slot(at)) for at in ats), total)


def _slot(at: int, provider: str, before: Counts, after: Counts) -> Slot:
    """The difference of two looks. A count that has fallen is one of another Redis: it counts from nothing."""
    grown = {}
    for name, count in after.items():
        was = before.get(name, 0)
        if more := count - was if count >= was else count:
            grown[name] = more
    return Slot(
        at,
        submits=_of(grown, ("submit", provider)),
        ends=_of(grown, ("entered", provider)),
        callbacks=_of(grown, ("callback", provider)),
        buckets=_of(grown, ("hist", str(GENERATION), provider)),
    )


def _of(counts: Counts, head: tuple[str, ...]) -> dict[str, int]:
    return {name[-1]: count for name, count in counts.items() if name[:-1] == head and name[-1] != "sum"}


def quantile(buckets: Mapping[str, int], share: float) -> float | None:
    """The seconds below which that share of a histogram's values lie, to the precision of its buckets; None: no values.

    In the last bucket, which has no upper end, it is the greatest bound.
    """
    total, passed, low = sum(buckets.values()), 0, 0.0
    if not total:
        return None
    for bound in GENERATION.bounds:
        count = buckets.get(f"{bound:g}", 0)
        if count and passed + count >= share * total:
            return round(low + (bound - low) * (share * total - passed) / count, 1)
        passed, low = passed + count, bound
    return GENERATION.bounds[-1]
