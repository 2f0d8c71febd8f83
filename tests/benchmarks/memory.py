"""Whether anything grows: an hour's jobs in minutes, and what every process and Redis hold after each tenth of them.

    python -m tests.benchmarks.memory --jobs 6000

A provider that holds 100 jobs at once, of a minute each, makes 6,000 an hour.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import redis

from deploy.local.stack import Stack
from tests.benchmarks import procs
from tests.benchmarks.figures import Section, number
from tests.benchmarks.system import Backend, BenchmarkError, spec, system, tell, wait_for
from worker.jobs.timing import DAY, ms
from worker.services import open_store
from worker.store import Store

JOBS = 6000
SLICES = 10
FIRST_JUDGED = 3
"""By the third slice every process has done all that it does."""
AT_ONCE, TOGETHER = 100, 10
GENERATION_SECONDS = 2.0
RETENTION_DAYS = 30
TOMBSTONE_DAYS = 90
PATIENCE_SECONDS = 60.0
OURS = ("web", "console", "worker", "archiver", "sweeper", "beat", "flower")
MOST_GROWTH, MOST_GROWTH_MB = 0.05, 5.0
"""Of a process, from the third slice to the last: whichever is more."""
MOST_FLOWER_MB = 30.0
"""Flower holds its latest 2,000 jobs, and lets the garbage of earlier ones lie until Python looks at all it has, which
is seldom: after some 8,000 jobs it stays where it is."""
MOST_LEFT_KB = 100
KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Look:
    """The memory that was held after a slice, when all its jobs were closed."""

    resident_mb: Mapping[str, float]
    proportional_mb: Mapping[str, float]
    pids: frozenset[str]  # of the processes that may be replaced
    redis_bytes: int  # but for what its connections hold at the moment
    keys: int


def run(jobs: int = JOBS) -> Section:
    """An hour's jobs in minutes: only Redis grows, by the same bytes for each job until it is forgotten."""
    section = Section(
        f"Memory over {jobs} jobs",
        f"At most {AT_ONCE} jobs open at once, over all providers, with generations of {GENERATION_SECONDS:g} s and a "
        f"byte sink for a bucket; a look after each of {SLICES} slices, when all its jobs are closed. MB are "
        "proportional (shared pages counted once), of each line of the Procfile with its children.",
        ("jobs", *OURS, "Redis MB", "keys", "Redis KB per job"),
    )
    with system(generation_seconds=GENERATION_SECONDS, user={"CALLSHEET_RETENTION_DAYS": str(RETENTION_DAYS)}) as stack:
        backend, store = Backend(stack.env["CALLSHEET_REDIS_URL"]), open_store(stack.settings)
        load(backend, store, AT_ONCE)  # makes what is made once, and teaches the timing of these models
        list(forget(stack))
        empty = look(stack)
        looks: list[Look] = []
        began = time.monotonic()
        for number_ in range(1, SLICES + 1):
            load(backend, store, jobs // SLICES)
            looks.append(look(stack))
            row = row_of(looks[-1], ([empty, *looks])[-2], jobs // SLICES)
            section.add(number_ * (jobs // SLICES), *row)
            tell(f"memory, {number_ * (jobs // SLICES)} jobs: {', '.join(map(number, row))}")
        seconds = time.monotonic() - began
        for days, held in forget(stack):
            row = row_of(held, empty, jobs)
            section.add(f"{days} days later", *row)
        backend.close()
    judge(section, empty, looks, held, jobs)
    first, last = looks[0], looks[-1]
    resident = ", ".join(f"{name} {first.resident_mb[name]:.0f} -> {last.resident_mb[name]:.0f}" for name in OURS)
    section.notes += [
        f"{jobs / seconds:.1f} jobs a second. Resident MB after the first slice and the last: {resident}. "
        f"Processes replaced meanwhile: {len(looks[FIRST_JUDGED - 1].pids - last.pids)}.",
        "The last rows are of a Redis in which time has passed: what was left of every key's lifetime was shortened.",
    ]
    return section


def load(backend: Backend, store: Store, jobs: int) -> None:
    """Send *jobs*, never more than a provider would hold, and wait until all are closed."""
    tag = secrets.token_hex(4)
    for at in range(0, jobs, TOGETHER):
        wait_for(lambda: store.due.open_count() <= AT_ONCE - TOGETHER, PATIENCE_SECONDS, "room for more jobs")
        for n in range(at, min(at + TOGETHER, jobs)):
            backend.send(f"hour-{tag}-{n}", spec(n))
    job_ids = [f"hour-{tag}-{n}" for n in range(jobs)]
    wait_for(lambda: backend.succeeded(job_ids) == jobs, PATIENCE_SECONDS, f"the results of {jobs} jobs", every=0.2)
    wait_for(lambda: store.due.open_count() == 0, PATIENCE_SECONDS, "all jobs closed", every=0.2)


def look(stack: Stack) -> Look:
    """The memory that every process and Redis hold."""
    held = {name: procs.memory_mb(stack.processes[name].pid) for name in OURS}
    pids = (path.name for name in OURS for path, _ in procs.members(stack.processes[name].pid))
    with redis.Redis.from_url(stack.env["CALLSHEET_REDIS_URL"]) as client:
        said: dict[str, Any] = client.info("memory")
        connections = int(said["mem_clients_normal"]) + int(said["mem_aof_buffer"])
        return Look(
            {name: rss for name, (rss, _, _) in held.items()},
            {name: pss for name, (_, pss, _) in held.items()},
            frozenset(pids),
            int(said["used_memory"]) - connections,
            int(client.dbsize()),
        )


def row_of(now: Look, before: Look, jobs: int) -> Sequence[float]:
    grown_kb = (now.redis_bytes - before.redis_bytes) / jobs / KB
    return *(now.proportional_mb[name] for name in OURS), now.redis_bytes / MB, now.keys, grown_kb


def forget(stack: Stack) -> Iterator[tuple[int, Look]]:
    """Let time pass until every job is forgotten: after so many days in all, what is held."""
    passed = 0
    with redis.Redis.from_url(stack.env["CALLSHEET_REDIS_URL"]) as client:
        for days in (RETENTION_DAYS, TOMBSTONE_DAYS, 2 * RETENTION_DAYS):
            pass_days(client, days)
            passed += days
            yield passed, look(stack)


def pass_days(client: redis.Redis, days: int) -> None:
    """Shorten what is left of every key's lifetime, and wait until Redis has dropped what has none."""
    passed = ms(days * DAY)
    keys = list(client.scan_iter(count=1000))
    for at in range(0, len(keys), 1000):
        some = keys[at : at + 1000]
        reading = client.pipeline(transaction=False)
        for key in some:
            reading.pttl(key)
        writing = client.pipeline(transaction=False)
        for key, left in zip(some, reading.execute(), strict=True):
            if left > 0:
                writing.pexpire(key, max(1, left - passed))
        writing.execute()
    time.sleep(0.1)
    for key in keys:
        client.exists(key)  # drops it, where its time is over


def judge(section: Section, empty: Look, looks: Sequence[Look], forgotten: Look, jobs: int) -> None:
    """Nothing grows, each job costs Redis the same, and when all are forgotten nothing is left."""
    early, last = looks[FIRST_JUDGED - 1], looks[-1]
    grown = {name: last.proportional_mb[name] - early.proportional_mb[name] for name in OURS}
    most = {name: max(MOST_GROWTH_MB, MOST_GROWTH * early.proportional_mb[name]) for name in OURS}
    most["flower"] = MOST_FLOWER_MB
    section.judge(
        "memory",
        f"growth of each process in MB, from slice {FIRST_JUDGED} to the last",
        f"<= {MOST_GROWTH_MB:g} or {MOST_GROWTH:.0%}; flower, which keeps its latest jobs, <= {MOST_FLOWER_MB:g}",
        ", ".join(f"{name} {grown[name]:+.1f}" for name in OURS),
        all(grown[name] <= most[name] for name in OURS),
    )
    half = len(looks) // 2
    first_kb = (looks[half - 1].redis_bytes - empty.redis_bytes) / (jobs / SLICES * half) / KB
    second_kb = (last.redis_bytes - looks[half - 1].redis_bytes) / (jobs / SLICES * (len(looks) - half)) / KB
    section.judge(
        "memory",
        "Redis for each closed job, second half of them against the first",
        "0.9-1.1x",
        f"{second_kb / first_kb:.2f}x ({first_kb:.2f} KB, {second_kb:.2f} KB)",
        0.9 <= second_kb / first_kb <= 1.1,
    )
    left_kb = (forgotten.redis_bytes - empty.redis_bytes) / KB
    section.judge(
        "memory",
        "left in Redis of all jobs when they are forgotten",
        f"<= {MOST_LEFT_KB} KB, and no key",
        f"{left_kb:+.0f} KB, {forgotten.keys - empty.keys} keys",
        left_kb <= MOST_LEFT_KB and forgotten.keys <= empty.keys,
    )


@click.command(help=run.__doc__)
@click.option("--jobs", default=JOBS, show_default=True, help="How many, in ten slices.")
@click.option("--json", "to", type=click.Path(dir_okay=False, path_type=Path), help="Write the section here.")
def main(jobs: int, to: Path | None) -> None:
    if jobs < SLICES:
        raise BenchmarkError(f"at least {SLICES} jobs")
    section = run(jobs)
    if to is None:
        click.echo(section.markdown())
    else:
        to.write_text(section.to_json())


if __name__ == "__main__":
    main()
