"""GETs per polled job and how late its end is noticed, by a simulated clock; beside polling every five seconds.

The steps, the store and the timing are the real ones. Simulated are the provider's answers and the time: the
sweep looks once a second.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import redis

from deploy.local.valkey import Valkey
from tests.benchmarks.crowd import environment
from tests.benchmarks.figures import Section, main, number, percentile
from tests.benchmarks.optimum import fewest_gets, log_normal_share
from tests.benchmarks.sink import Sink
from tests.benchmarks.system import spec, tell
from worker.jobs.job import Link
from worker.providers.base import EventKind, Provider, ProviderEvent, Submission
from worker.services import Services
from worker.settings.settings import Settings
from worker.steps import accept, poll, submit
from worker.store import Store

JOBS = 240
WARM = 60
"""The first jobs teach the timing what the model takes; they are reported apart."""
EVERY_SECONDS = 20.0
TICK_MS = 1000
FIXED_SECONDS = 5.0
START_MS = 1_795_000_000_000

Draw = Callable[[random.Random], float]


LOW_SECONDS, HIGH_SECONDS = 40.0, 600.0


def log_normal(rng: random.Random) -> float:
    """Generations of 40 s to 10 min: 95 % lie between."""
    low, high = math.log(LOW_SECONDS), math.log(HIGH_SECONDS)
    return rng.lognormvariate((low + high) / 2, (high - low) / 2 / 1.96)


@dataclass
class Simulated:
    """GMI Cloud with a clock of ours: a generation ends after its drawn time; `gets` counts the GETs of each."""

    provider: Provider
    clock: list[int]
    draw: Callable[[], float]
    ends: dict[str, int] = field(default_factory=dict)
    gets: dict[str, int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)

    def submit(self, *_: Any, **__: Any) -> Submission:
        request_id = f"request-{len(self.ends)}"
        self.ends[request_id] = self.clock[0] + round(self.draw() * 1000)
        self.gets[request_id] = 0
        return Submission(request_id, ProviderEvent(request_id, EventKind.PENDING, status="queued"), None)

    def fetch(self, request_id: str) -> ProviderEvent:
        self.gets[request_id] += 1
        if self.clock[0] < self.ends[request_id]:
            return ProviderEvent(request_id, EventKind.PENDING, status="processing")
        links = (Link(f"https://cdn.example.com/{request_id}.mp4"),)
        return ProviderEvent(request_id, EventKind.GENERATED, status="success", links=links)


@dataclass(frozen=True)
class Look:
    """The polls of one job. Seconds."""

    gets: int
    took: float
    delay: float


def run() -> Section:
    """GETs per polled job and detection delay, by a simulated clock."""
    section = Section(
        "Polling without callbacks",
        f"{JOBS} jobs of one model, one every {EVERY_SECONDS:g} s; real steps, store and timing over a simulated clock "
        "and provider; one sweep a second. Fixed: a GET every five seconds from the POST on.",
        (
            "generation takes",
            "jobs",
            "GETs per job",
            "fixed 5 s: GETs",
            "delay p50 s",
            "p95 s",
            "p95 of delay / (10 % + 2 s)",
        ),
    )
    draws: Mapping[str, Draw] = {"60 s": lambda _: 60.0, "log-normal, 40 s to 10 min": log_normal}
    with (
        tempfile.TemporaryDirectory() as home,
        Valkey(Path(home, "valkey"), "benchmark-password") as valkey,
        Sink(Path(home)) as sink,
    ):
        os.environ.update(sink.env)  # boto3 looks nowhere else
        for name, draw in draws.items():
            looks = simulate(valkey.url, draw)
            add(section, name, f"first {WARM}", looks[:WARM])
            gets, fixed, room = add(section, name, "the rest", looks[WARM:])
            tell(f"polling {name}: {gets:.2f} GETs")
            section.judge(
                "T7" if "log" in name else "T7 (60 s)",
                "GETs per job; p95 delay against 10 % + 2 s; against fixed 5 s",
                "<= 10 (stretch 6); <= 1; >= 3x fewer",
                f"{gets:.1f}; {room:.2f}; {fixed / gets:.1f}x",
                gets <= 10 and room <= 1 and fixed >= 3 * gets,
            )
    wall = fewest_gets(log_normal_share(LOW_SECONDS, HIGH_SECONDS))
    section.notes.append(
        f"The wall for the log-normal one: no schedule within that delay needs fewer than {wall:.1f} GETs per job, "
        "even if it knows the distribution exactly and has no sweep to wait for (`tests/benchmarks/optimum.py`)."
    )
    return section


def add(section: Section, name: str, which: str, looks: list[Look]) -> tuple[float, float, float]:
    gets = sum(look.gets for look in looks) / len(looks)
    fixed = sum(math.ceil(look.took / FIXED_SECONDS) for look in looks) / len(looks)
    delays = [look.delay for look in looks]
    room = percentile([look.delay / (0.1 * look.took + 2) for look in looks], 95)
    section.add(name, which, number(gets), number(fixed), percentile(delays, 50), percentile(delays, 95), room)
    return gets, fixed, room


def simulate(redis_url: str, draw: Draw) -> list[Look]:
    """Every job's polls, in the order of their POSTs."""
    rng, clock = random.Random(20261120), [START_MS]
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        client.config_set("appendfsync", "no")  # the clock is simulated: only counts are taken here
        services, provider = _services(redis_url, clock, lambda: draw(rng))
        due = [(START_MS + round(n * EVERY_SECONDS * 1000), f"polled-{n}") for n in range(JOBS)]
        heapq.heapify(due)
        found: dict[str, int] = {}
        while due:
            clock[0], job_id = heapq.heappop(due)
            _step(job_id, services)
            job = services.store.jobs.get(job_id)
            due_at = services.store.due.at(job_id)
            assert job is not None
            assert due_at is not None
            if job.state == "generated":
                found[str(job.request_id)] = clock[0]
            else:
                heapq.heappush(due, (math.ceil(due_at / TICK_MS) * TICK_MS, job_id))
    began = {request_id: START_MS + round(n * EVERY_SECONDS * 1000) for n, request_id in enumerate(provider.ends)}
    return [
        Look(provider.gets[name], (end - began[name]) / 1000, (found[name] - end) / 1000)
        for name, end in provider.ends.items()
    ]


def _step(job_id: str, services: Services) -> None:
    if services.store.jobs.get(job_id) is None:
        accept.run(job_id, spec(0, "gmicloud"), services)
        submit.run(job_id, services)
    else:
        poll.run(job_id, services)


def _services(redis_url: str, clock: list[int], draw: Callable[[], float]) -> tuple[Services, Simulated]:
    # a prefix of its own: to a Redis that was emptied, the bucket says that it has gone back in time
    prefix = f"polling-{secrets.token_hex(4)}"
    settings = replace(Settings.from_env(environment(redis_url)), public_url=None, bucket_prefix=prefix)
    services = Services.from_settings(settings)
    provider = Simulated(services.providers["gmicloud"], clock, draw)
    store = Store(
        services.store.scripts.client,
        retention_ms=services.retention_ms(),
        clock=lambda: clock[0],
        monotonic=lambda: clock[0] / 1000,
    )
    providers = {**services.providers, "gmicloud": cast("Provider", provider)}
    changed = replace(
        services, store=store, providers=providers, rng=random.Random(7), monotonic=lambda: clock[0] / 1000
    )
    return changed, provider


if __name__ == "__main__":
    main(run)
