"""When the provider, S3 or Redis is slow: what piles up, where, what it costs, and how it drains. Nothing collapses."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import redis
import urllib3

from deploy.local.stack import Stack
from deploy.sandbox.client import SandboxControl
from tests.benchmarks import procs
from tests.benchmarks.figures import Section, main
from tests.benchmarks.system import Backend, spec, system, tell

PER_SECOND = 10
SECONDS = 3.0
"""The seconds during which jobs come and the fault lasts."""
PATIENCE_SECONDS = 20.0
SLOW_SECONDS = 0.6
"""The seconds that each POST, or each request to S3, then takes."""
SILENT_MS, EVERY_SECONDS = 700, 1.0
"""Redis answers nobody for so long, so often."""
WATCHED = ("web", "worker", "archiver", "sweeper")
MOST_GROWTH_MB = 60.0
"""Of all processes together, once they are warm."""

Fault = Callable[[Stack], AbstractContextManager[None]]


@dataclass
class Peak:
    """The most that was seen of each queue while a fault lasted."""

    queued: dict[str, int] = field(default_factory=dict)

    def note(self, client: redis.Redis) -> None:
        for name in ("callsheet", "callsheet.archive"):
            length = int(client.llen(name))
            self.queued[name] = max(self.queued.get(name, 0), length)


def run() -> Section:
    """Jobs at a steady rate while a dependency is slow: queues, memory, and the time to drain."""
    section = Section(
        "Slow dependencies",
        f"{PER_SECOND} jobs a second for {SECONDS:g} s at all providers, generations that take no time. Meanwhile each "
        f"POST takes {SLOW_SECONDS:g} s, or each request to S3 does, or Redis is silent for {SILENT_MS} ms of every "
        "second. Then the fault ends, and all jobs must end in the bucket, by the same processes.",
        ("slow", "jobs", "archived", "longest queue: worker", "archiver", "drained after s", "memory MB", "grown by"),
    )
    with system(generation_seconds=0) as stack:
        backend = Backend(stack.env["CALLSHEET_REDIS_URL"])
        before = processes(stack)
        for name, fault in {"nothing": nothing, "provider": provider, "S3": s3, "Redis": silent_redis}.items():
            if name == "nothing":
                one_load(stack, backend, fault)  # warms every process up
            row = one_load(stack, backend, fault)
            section.add(name, *row)
            tell(f"pressure, {name} slow: {row}")
        is_same = processes(stack) == before
        backend.close()
    lost = sum(int(str(row[1])) - int(str(row[2])) for row in section.rows)
    grown = max(float(str(row[7])) for row in section.rows)
    section.judge(
        "back-pressure",
        "all jobs archived; processes that died; memory grown",
        f"all; none; <= {MOST_GROWTH_MB:.0f} MB",
        f"{'all' if not lost else f'{lost} missing'}; {'none' if is_same else 'some'}; {grown:.0f} MB",
        not lost and is_same and grown <= MOST_GROWTH_MB,
    )
    return section


def one_load(stack: Stack, backend: Backend, fault: Fault) -> tuple[float, ...]:
    """A load under *fault*: the row of the table behind its name."""
    job_ids = [f"pressed-{secrets.token_hex(5)}" for _ in range(round(PER_SECOND * SECONDS))]
    peak, before = Peak(), memory_mb(stack)
    with redis.Redis.from_url(stack.env["CALLSHEET_REDIS_URL"]) as client:
        with fault(stack):
            began = time.monotonic()
            for n, job_id in enumerate(job_ids):
                time.sleep(max(0.0, began + n / PER_SECOND - time.monotonic()))
                backend.send(job_id, spec(n))
                peak.note(client)
        ended = time.monotonic()
        done = 0
        while done < len(job_ids) and time.monotonic() - ended < PATIENCE_SECONDS:
            time.sleep(0.05)
            peak.note(client)
            done = backend.succeeded(job_ids)
    seconds, after = time.monotonic() - ended, memory_mb(stack)
    queues = (peak.queued["callsheet"], peak.queued["callsheet.archive"])
    return len(job_ids), done, *queues, seconds, after, after - before


@contextmanager
def nothing(_: Stack) -> Iterator[None]:
    yield


@contextmanager
def provider(stack: Stack) -> Iterator[None]:
    control = SandboxControl(stack.sandbox.url, stack.sandbox.ca_file)
    # as many as there are jobs: the rules cannot be taken back alone
    control.script({"on": "submit", "slow_seconds": SLOW_SECONDS, "times": round(PER_SECOND * SECONDS)})
    yield


@contextmanager
def s3(stack: Stack) -> Iterator[None]:
    url = f"{stack.env['AWS_ENDPOINT_URL_S3']}/slow?"
    urllib3.request("PUT", f"{url}{SLOW_SECONDS}")
    yield
    urllib3.request("PUT", f"{url}0")


@contextmanager
def silent_redis(stack: Stack) -> Iterator[None]:
    over = threading.Event()

    def silence() -> None:
        with redis.Redis.from_url(stack.env["CALLSHEET_REDIS_URL"]) as client:
            while not over.wait(EVERY_SECONDS):
                client.client_pause(SILENT_MS)

    thread = threading.Thread(target=silence, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(5)


def processes(stack: Stack) -> Mapping[str, frozenset[str]]:
    return {name: frozenset(path.name for path, _ in procs.members(stack.processes[name].pid)) for name in WATCHED}


def memory_mb(stack: Stack) -> float:
    """Proportional memory of our processes together."""
    return sum(procs.memory_mb(stack.processes[name].pid)[1] for name in WATCHED)


if __name__ == "__main__":
    main(run)
