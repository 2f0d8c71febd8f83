"""The cost of waiting jobs: Redis memory, an idle system's CPU, a tick, a claim, and falling due all at once."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import redis

from deploy.local.valkey import Valkey
from tests.benchmarks import crowd, procs
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.sink import Sink
from tests.benchmarks.system import system, tell
from worker.jobs.states import JobState
from worker.services import Services
from worker.settings.settings import Settings
from worker.steps import Step, sweep
from worker.store import Store

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 3
CLAIMS = 300
IDLE_SECONDS = 10.0
LONG_DUE_MS = -1000
FEW = 100_000
MILLION = 1_000_000
BATCH = 500
DUE_ROUNDS = 60


def run() -> Section:
    """100,000 waiting jobs: bytes, idle CPU, ticks, claims, and the drain."""
    section = Section(
        "Waiting jobs",
        "Submitted jobs with a 1.4 KB prompt, their Celery request, timeline and request index; copies of a real one. "
        "A tick is `sweep.run` with messages counted, not sent. Valkey with `appendfsync always`.",
        (
            "jobs",
            "Redis bytes per job",
            "idle tick ms",
            "claim us",
            "all due: sweep us per job",
            "of which nudge script us",
        ),
    )
    claims: dict[int, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home,
        Valkey(Path(home, "valkey"), "benchmark") as valkey,
        Sink(Path(home)) as sink,
    ):
        os.environ.update(sink.env)  # boto3 looks nowhere else
        for jobs in SIZES:
            bytes_per_job = memory_per_job(valkey.url, jobs)
            services = Services.from_settings(Settings.from_env(crowd.environment(valkey.url)))
            idle = Spread.of([timed(partial(sweep.run, services, drop, nothing_waits)) * 1000 for _ in range(20)])
            claims[jobs] = Spread.of([claim_us(services.store) for _ in range(ROUNDS)]).median
            drained, nudged = drain(valkey.url, services, jobs)
            section.add(jobs, bytes_per_job, idle.median, claims[jobs], drained, nudged)
            tell(f"waiting: {jobs} jobs, {bytes_per_job:.0f} bytes each")
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home:
        rounds = due_us(Path(home))
    few, many = (Spread.of(values) for values in zip(*rounds, strict=True))
    ratio = many.median / few.median
    cpu = idle_cpu(SIZES[-1])
    section.judge(
        "T8",
        f"{SIZES[-1]} waiting jobs: idle CPU; Redis bytes per job; a due job's scripts at 1M against 100k",
        "<= 10 % of a core; <= 2.3 KB; <= 1.25x",
        f"{100 * cpu:.1f} %; {bytes_per_job:.0f} B; {ratio:.2f}x",
        cpu <= 0.1 and bytes_per_job <= 2300 and ratio <= 1.25,
    )
    section.notes.append(
        f"The sweep's scripts `due` and `nudge`, {BATCH} jobs at a time: {few} us per job among {FEW:,}, {many} among "
        f"{MILLION:,}, in turns."
    )
    return section


def memory_per_job(redis_url: str, jobs: int) -> float:
    with redis.Redis.from_url(redis_url) as client:
        # a flush would else go on beside the measurement
        client.execute_command("FLUSHALL", "SYNC")
        before = int(client.info("memory")["used_memory"])
        crowd.gather(redis_url, jobs)
        # while a table grows Redis holds the old one too
        while client.memory_stats().get("overhead.db.hashtable.rehashing", 0):
            time.sleep(0.1)
        return (int(client.info("memory")["used_memory"]) - before) / jobs


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def drop(step: Step, job_ids: Sequence[str]) -> None:
    """Send nothing."""


def nothing_waits(step: Step) -> bool:
    """Say that no message is in any queue."""
    return False


def claim_us(store: Store) -> float:
    """Claiming a job and giving it back, one by one, over the socket."""

    def claim_some() -> None:
        for n in range(CLAIMS):
            claim = store.due.claim(crowd.crowd_id(n), states=(JobState.SUBMITTED,), lease_ms=60_000)
            assert claim is not None
            store.due.rest(claim, due_in_ms=crowd.HOUR_MS)

    return timed(claim_some) / CLAIMS / 2 * 1e6


def drain(redis_url: str, services: Services, jobs: int) -> tuple[float, float]:
    """All jobs fall due at once: us per job until each was nudged, and of the nudge script alone."""
    crowd.gather(redis_url, jobs, due_in_ms=LONG_DUE_MS)
    with redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        left, seconds = jobs, 0.0
        while left > 0:
            began = time.perf_counter()
            done = sweep.run(services, drop, nothing_waits)
            seconds += time.perf_counter() - began
            left -= done
            assert done
        stats = client.info("commandstats")
    script_us = float(stats["cmdstat_evalsha"]["usec"])
    return seconds / jobs * 1e6, script_us / jobs


def due_us(home: Path) -> list[tuple[float, float]]:
    """Rounds of what the sweep's scripts cost a due job, among 100,000 and among 1,000,000: us by the servers' count.

    Short and in turns, so that what else the machine does falls on both, and rarely.
    """
    with Valkey(home / "few", "benchmark") as few, Valkey(home / "many", "benchmark") as many:
        for valkey, jobs in ((few, FEW), (many, MILLION)):
            with redis.Redis.from_url(valkey.url) as client:
                # its copy of the process would slow each first write of a page, and the larger one longer
                client.config_set("auto-aof-rewrite-percentage", 0)
            crowd.gather(valkey.url, jobs, due_in_ms=LONG_DUE_MS, only_records=True)
        rounds = [(nudge_us(few.url), nudge_us(many.url)) for _ in range(DUE_ROUNDS + 1)]
    return rounds[1:]


def nudge_us(redis_url: str) -> float:
    """Finding 500 due jobs and putting them off: us per job."""
    with redis.Redis.from_url(redis_url) as client, crowd.a_store(redis_url) as store:
        client.config_resetstat()
        assert len(store.due.nudge(store.due.ids(limit=BATCH))) == BATCH
        return float(client.info("commandstats")["cmdstat_evalsha"]["usec"]) / BATCH


def idle_cpu(jobs: int) -> float:
    """Cores that the whole system uses while *jobs* wait and none is due."""
    with system(generation_seconds=0) as stack:
        # the processes see the jobs of their own Valkey
        crowd.gather(stack.env["CALLSHEET_REDIS_URL"], jobs)
        names = [name for name in stack.processes if name not in ("sandbox", "s3")]
        time.sleep(2.0)
        meter = procs.Meter({name: stack.processes[name] for name in names})
        began = time.monotonic()
        time.sleep(IDLE_SECONDS)
        used = meter.read()
        seconds = time.monotonic() - began
    split = ", ".join(f"{name} {100 * spent / seconds:.1f} %" for name, spent in used.items())
    tell(f"idle among {jobs}: {split}")
    return sum(used.values()) / seconds


if __name__ == "__main__":
    main(run)
