"""The figures behind the metrics: kept in Redis, so that any number of processes tell one truth.

A shard's metrics hash counts under names of bounded parts, joined by `|`: moves and callbacks by the scripts that make
them, requests and copies by the steps. A figure is worth no failure: one that cannot be written is a line in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from worker.errors import StoreError
from worker.jobs.states import JobState
from worker.store.counters import COUNTED_AT, Counter
from worker.store.lists import RANKS
from worker.store.scripts import Scripts, store_errors

log = logging.getLogger(__name__)

OLDEST = 40
"""Of each open state, and of those that are due, so many of the oldest jobs are looked at for what they wait for."""
WITHIN_SECONDS = (0, 3600, 6 * 3600)
"""Links that end within these times are told; 0: they should have ended."""
MISSED_AT_ONCE = 500
OPEN = (JobState.ACCEPTED, JobState.SUBMITTING, JobState.UNCONFIRMED, JobState.SUBMITTED, JobState.GENERATED)


class Histogram(StrEnum):
    """A distribution that is kept by provider. `bounds`: the upper ends of its buckets; `sentence`: what it tells."""

    sentence: str
    bounds: tuple[float, ...]

    def __new__(cls, name: str, sentence: str, bounds: tuple[float, ...]) -> Histogram:
        histogram = str.__new__(cls, name)
        histogram._value_ = name
        histogram.sentence = sentence
        histogram.bounds = bounds
        return histogram

    POST_DURATION = (
        "post_duration_seconds",
        "time that POSTs of requests took, whatever was answered",
        (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    )
    GET_DURATION = (
        "get_duration_seconds",
        "time that GETs of requests took, whatever was answered",
        (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
    )
    ARCHIVE_DURATION = (
        "archive_duration_seconds",
        "time that copies of a job's videos to the bucket took, those that failed as well",
        (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0),
    )
    GENERATION_DURATION = (
        "generation_duration_seconds",
        "time from the answer to a POST until its generation was known to have ended well",
        (10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 3600.0),
    )
    GENERATION_POLLS = (
        "generation_polls",
        "GETs that were needed until the end of a generation was known",
        (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0),
    )

    def bucket(self, value: float) -> str:
        """The name of the bucket that holds *value*."""
        return next((f"{bound:g}" for bound in self.bounds if value <= bound), "inf")


class Outcome(StrEnum):
    """The outcomes of a POST."""

    TAKEN = "taken"
    NOT_TAKEN = "not_taken"
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True)
class Figures:
    """One look at all shards. `counted`: the metrics hash, each name in its parts; `oldest`: ids of jobs that are due,
    and of the oldest of each open state."""

    now: int
    jobs: dict[JobState, int]
    links_ending: dict[int, int]  # by WITHIN_SECONDS
    counted: dict[tuple[str, ...], int]
    counters: dict[str, int]
    oldest: list[str]


class Metrics:
    """The metrics of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def observe(self, histogram: Histogram, provider: str, value: float, *also: tuple[str, ...]) -> None:
        """Add *value* to *histogram*, and one to each of the counts *also*."""
        of = (histogram, provider)
        names = [("hist", *of, histogram.bucket(value)), *also]
        self._add([*((name, 1) for name in names), (("hist", *of, "sum"), round(value * 1000))])

    def submitted(self, provider: str, outcome: Outcome, seconds: float) -> None:
        """Count a POST that took so long."""
        self.observe(Histogram.POST_DURATION, provider, seconds, ("submit", provider, outcome))

    def archived(self, provider: str, size: int) -> None:
        """Count bytes that are in the bucket now."""
        self._add([(("archived", provider), size)])

    def count_missed(self) -> int:
        """Count the callbacks that were awaited until now; how many."""
        missed = 0
        for shard in range(self._keys.shards):
            keys = [
                self._keys.awaited(shard),
                self._keys.metrics(shard),
                self._keys.counters(shard),
            ]
            args: list[str | int] = [self._scripts.clock.given(), Counter.CALLBACKS_MISSED, MISSED_AT_ONCE]
            missed += int(self._scripts.run("missed", keys, args))
        return missed

    def read(self) -> Figures:
        """Everything, with one script a shard."""
        looks = list(self._looks())
        counted: dict[tuple[str, ...], int] = {}
        counters: dict[str, int] = {}
        for _, _, _, metrics, named, _ in looks:
            for name, value in _pairs(metrics):
                parts = tuple(name.split("|"))
                counted[parts] = counted.get(parts, 0) + int(value)
            for name, value in _pairs(named):
                if not name.endswith(COUNTED_AT):
                    counters[name] = counters.get(name, 0) + int(value)
        return Figures(
            now=max(int(look[0]) for look in looks),
            jobs={state: sum(look[1][n] for look in looks) for n, state in enumerate(RANKS)},
            links_ending={within: sum(look[2][n] for look in looks) for n, within in enumerate(WITHIN_SECONDS)},
            counted=counted,
            counters=counters,
            oldest=list(dict.fromkeys(job_id for look in looks for job_id in look[5])),
        )

    def counted(self) -> dict[tuple[str, ...], int]:
        """The metrics hash alone, each name in its parts."""
        totals: dict[tuple[str, ...], int] = {}
        for shard in range(self._keys.shards):
            with store_errors():
                kept = cast("dict[str, str]", self._scripts.client.hgetall(self._keys.metrics(shard)))
            for name, value in kept.items():
                parts = tuple(name.split("|"))
                totals[parts] = totals.get(parts, 0) + int(value)
        return totals

    def _looks(self) -> Iterator[Sequence[Any]]:
        given = {
            "ranks": list(RANKS.values()),
            "open": [RANKS[state] for state in OPEN],
            "oldest": OLDEST,
            "within_ms": [within * 1000 for within in WITHIN_SECONDS],
        }
        for shard in range(self._keys.shards):
            keys = [
                self._keys.due(shard),
                self._keys.listed(shard),
                self._keys.perishing(shard),
            ]
            keys += [self._keys.metrics(shard), self._keys.counters(shard)]
            yield self._scripts.run("metrics", keys, [self._scripts.clock.given(), json.dumps(given)])

    def _add(self, counts: Sequence[tuple[tuple[str, ...], int]]) -> None:
        try:
            with store_errors():
                pipeline = self._scripts.client.pipeline(transaction=False)
                for name, by in counts:
                    pipeline.hincrby(self._keys.metrics(0), "|".join(name), by)
                pipeline.execute()
        except StoreError as err:
            log.warning("metric.unwritten", extra={"reason": str(err)})


def _pairs(flat: Sequence[str]) -> Iterable[tuple[str, str]]:
    """The fields of a hash as a script returns them."""
    return zip(flat[::2], flat[1::2], strict=True)
