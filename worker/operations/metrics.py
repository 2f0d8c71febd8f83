"""Metrics: everything that Redis knows of the system's health, in Prometheus' text format.

A collector that reads at the scrape and keeps nothing: one script for each shard, then the records of few of the oldest
jobs and each provider's limits. Names are `callsheet_<noun>_<unit>`; label values come from closed lists and from the
names of providers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.heartbeat import version_of_ours
from worker.jobs.rate_limits import Lane, Operation, Standing
from worker.jobs.timing import Timing
from worker.jobs.wait_codes import WaitCode
from worker.operations import costs, overdue, processes
from worker.operations.explain import View
from worker.operations.waits import code_of
from worker.providers import ADAPTERS
from worker.providers.base import CallbackTrust
from worker.settings.settings import Settings
from worker.store import Store
from worker.store.counters import Counter
from worker.store.metrics import Figures, Histogram

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
"""Of what `exposition` returns."""


def exposition(settings: Settings, store: Store) -> bytes:
    """All metrics as of now, in Prometheus' text format; raises `StoreError` when Redis does not answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RedisCollector(settings, store))
    return generate_latest(registry)


class RedisCollector(Collector):
    """Reads one store, of which nothing is kept between two scrapes."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def describe(self) -> list[Metric]:
        """Nothing: a registry need not ask Redis which names there are."""
        return []

    def collect(self) -> Iterator[Metric]:
        began = time.monotonic()
        figures = self._store.metrics.read()
        yield from _of_jobs(figures)
        yield from self._of_waits(figures)
        yield from _of_requests(figures)
        yield from (_histogram(histogram, figures) for histogram in Histogram)
        yield from _of_counters(figures)
        yield from self._of_providers()
        yield from self._of_processes(figures.now)
        took = "seconds that the figures of this scrape took to read"
        yield GaugeMetricFamily("callsheet_scrape_seconds", took, time.monotonic() - began)

    def _of_waits(self, figures: Figures) -> Iterator[Metric]:
        """The longest waits among the jobs that were looked at."""
        late, waits = 0.0, dict.fromkeys(WaitCode, 0.0)
        for job, due_at, candidates in self._store.records.read_open(figures.oldest):
            if not job.is_open:
                continue
            calls_back = self._calls_back(job.provider)
            view = View(job, due_at, figures.now, Timing(), calls_back, candidates=candidates)
            code = code_of(view)
            waits[code] = max(waits[code], (figures.now - job.state_at) / 1000)
            if due_at is not None and not view.is_leased:
                late = max(late, overdue.waited_seconds(due_at, job.nudges, figures.now))
        yield GaugeMetricFamily(
            "callsheet_due_oldest_seconds", "longest time that a due job has waited for a worker to begin with it", late
        )
        oldest = GaugeMetricFamily(
            "callsheet_wait_oldest_seconds",
            "time that the oldest job of each waiting code has been in its state, of the oldest jobs of each state",
            labels=["code"],
        )
        for code, seconds in waits.items():
            if code is not WaitCode.NOTHING:
                oldest.add_metric([code], seconds)
        yield oldest

    def _calls_back(self, provider: str) -> bool:
        """Whether *provider* is told where to call back; an adapter's class knows, and making one takes 20 ms."""
        if self._settings.public_url is None or provider not in self._settings.providers:
            return False
        return ADAPTERS[provider].trust is not CallbackTrust.NONE

    def _of_providers(self) -> Iterator[Metric]:
        standings = {
            name: self._store.limits.standing(self._settings.limits(name)) for name in self._settings.providers
        }
        paused = self._store.pauses.paused()
        by_lane = ["provider", "operation"]
        held = GaugeMetricFamily(
            "callsheet_provider_jobs", "jobs that a provider may be busy with", labels=["provider"]
        )
        stopped = GaugeMetricFamily(
            "callsheet_provider_paused", "1 where an operator has paused a provider", labels=["provider"]
        )
        breaker = GaugeMetricFamily("callsheet_breaker_open", "1 where a circuit breaker is open", labels=by_lane)
        line = GaugeMetricFamily("callsheet_line_jobs", "jobs that wait in a provider's line", labels=by_lane)
        for name, standing in standings.items():
            held.add_metric([name], standing.occupied)
            stopped.add_metric([name], name in paused)
            for operation, lane in _lanes(standing).items():
                breaker.add_metric([name, operation], bool(lane.open_why))
                line.add_metric([name, operation], lane.waiting)
        yield from (held, stopped, breaker, line)
        yield from self._of_money()

    def _of_money(self) -> Iterator[Metric]:
        spent = GaugeMetricFamily(
            "callsheet_budget_spent_usd",
            "USD that a cap counts in its day or month (UTC): reserved, spent, and of which nobody knows",
            labels=["cap"],
        )
        limit = GaugeMetricFamily("callsheet_budget_limit_usd", "USD of a cap that is set", labels=["cap"])
        for row in costs.caps(self._store, replace(self._settings.caps, tenants={})):
            spent.add_metric([row["cap"]], float(row["used"]))
            if row["limit"] is not None:
                limit.add_metric([row["cap"]], float(row["limit"]))
        money = GaugeMetricFamily(
            "callsheet_money_usd", "USD of this month's POSTs (UTC) by standing", labels=["provider", "standing"]
        )
        for row in costs.report(self._store, ("provider",), costs.THIS_MONTH)["rows"]:
            for standing in costs.STANDINGS:
                money.add_metric([row["provider"], standing], float(row[standing]["usd"]))
        yield from (spent, limit, money)

    def _of_processes(self, now: int) -> Iterator[Metric]:
        alive = GaugeMetricFamily(
            "callsheet_processes_alive", "processes that have lately shown that they live", labels=["kind"]
        )
        for kind, beats in processes.alive(self._store.heartbeats.all(), now).items():
            alive.add_metric([kind], len(beats))
        yield alive
        swept_at = self._store.due.swept_at()
        if swept_at is not None:
            age = "seconds since the last sweep began"
            yield GaugeMetricFamily("callsheet_sweep_age_seconds", age, max(0.0, (now - swept_at) / 1000))
        build = GaugeMetricFamily("callsheet_build_info", "the version that answers this scrape", labels=["version"])
        build.add_metric([version_of_ours()], 1)
        yield build


def _lanes(standing: Standing) -> dict[Operation, Lane]:
    return {Operation.SUBMIT: standing.submit, Operation.POLL: standing.poll}


def _of_jobs(figures: Figures) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("callsheet_jobs", "jobs by state", labels=["state"])
    for state, count in figures.jobs.items():
        jobs.add_metric([state], count)
    ends = GaugeMetricFamily(
        "callsheet_links_ending_jobs",
        "jobs whose videos are not in the bucket and whose links end within so many seconds; 0: should have ended",
        labels=["within"],
    )
    for within, count in figures.links_ending.items():
        ends.add_metric([str(within)], count)
    yield from (jobs, ends)


def _of_requests(figures: Figures) -> Iterator[Metric]:
    """The counts that have labels."""
    families = {
        "move": CounterMetricFamily(
            "callsheet_moves",
            "moves of jobs from a state to another, by what led to them",
            labels=["from", "to", "path"],
        ),
        "submit": CounterMetricFamily(
            "callsheet_submits", "POSTs by what became of them", labels=["provider", "outcome"]
        ),
        "callback": CounterMetricFamily(
            "callsheet_callback_arrivals",
            "callbacks with a valid address by what became of them; missed: none came within 5 minutes of a poll",
            labels=["provider", "outcome"],
        ),
        "archived": CounterMetricFamily(
            "callsheet_archived_bytes", "bytes of videos that were copied to the bucket", labels=["provider"]
        ),
    }
    for (kind, *labels), count in sorted(figures.counted.items()):
        if kind in families:
            families[kind].add_metric([label or "none" for label in labels], count)
    yield from families.values()


def _histogram(histogram: Histogram, figures: Figures) -> Metric:
    family = HistogramMetricFamily(f"callsheet_{histogram}", histogram.sentence, labels=["provider"])
    names = [*(f"{bound:g}" for bound in histogram.bounds), "inf"]
    known = {parts[2] for parts in figures.counted if parts[:2] == ("hist", histogram)}
    for provider in sorted(known):
        counts = [figures.counted.get(("hist", histogram, provider, name), 0) for name in names]
        buckets = [
            ("+Inf" if name == "inf" else str(float(name)), float(sum(counts[: n + 1]))) for n, name in enumerate(names)
        ]
        thousandths = figures.counted.get(("hist", histogram, provider, "sum"), 0)
        family.add_metric([provider], buckets, thousandths / 1000)
    return family


def _of_counters(figures: Figures) -> Iterator[Metric]:
    """The store's own counters, under their own sentences; one that was never added to is 0."""
    for counter in Counter:
        yield CounterMetricFamily(f"callsheet_{counter}", counter.sentence, figures.counters.get(counter, 0))
