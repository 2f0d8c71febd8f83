"""500 jobs over all providers through every process, beside the naive Celery program; memory and CPU of each."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deploy.local.health import log_says
from deploy.local.processes import Process
from deploy.local.sandbox_process import SOURCE
from deploy.local.stack import Stack
from tests.benchmarks import naive, procs
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.system import SPECS, Backend, spec, system, tell

JOBS = 500
ROUNDS = 3
PATIENCE_SECONDS = 30.0
"""For one load; what is not done by then does not count, so a busy machine costs jobs per second and not the figure."""
LAST_ROUND_SECONDS = 40.0
"""No round begins later than this after the first."""
OURS = ("web", "console", "worker", "archiver", "sweeper", "beat", "flower")


def run() -> Section:
    """500 jobs over all providers through every process, beside the naive Celery program."""
    section = Section(
        f"End to end: {JOBS} jobs",
        "Generations take no time; all providers in turn (EvoLink by callback over HTTPS); Valkey with `appendfsync "
        "always`, durable intent, confirming GET, verified MP4s and manifests on. The bucket is a byte sink. The naive "
        "program uses the same sandbox, Valkey and sink, in turns with ours.",
        ("program", "jobs/s", "CPU-ms per job: own processes", "of which"),
    )
    ours: list[float] = []
    theirs: list[float] = []
    costs: list[dict[str, float]] = []
    naive_costs: list[float] = []
    counted: list[dict[str, float]] = []
    with system(generation_seconds=0) as stack, naive_program(stack) as other:
        backend = Backend(stack.env["CALLSHEET_REDIS_URL"])
        watched = {name: stack.processes[name] for name in (*OURS, "valkey", "sandbox")}
        load(backend, 60)  # teaches the timing that these models take no time
        began = time.monotonic()
        while len(ours) < ROUNDS and (not ours or time.monotonic() - began < LAST_ROUND_SECONDS):
            meter = procs.Meter(watched)
            backend.count_commands()
            done, seconds = load(backend, JOBS)
            counted.append({name: calls / max(1, done) for name, calls in backend.commands().items()})
            ours.append(done / seconds)
            costs.append({name: used * 1000 / max(1, done) for name, used in meter.read().items()})
            meter = procs.Meter({"naive": other})
            done, seconds = load_naive(backend, JOBS)
            theirs.append(done / seconds)
            naive_costs.append(meter.read()["naive"] * 1000 / max(1, done))
            tell(f"ours {ours[-1]:.1f} jobs/s, naive {theirs[-1]:.1f}")
        backend.close()
        memory = {name: procs.memory_mb(process.pid) for name, process in watched.items()}
    own = Spread.of([sum(cost[name] for name in OURS) for cost in costs])
    split = {name: Spread.of([cost[name] for cost in costs]).median for name in watched}
    section.add("Callsheet", Spread.of(ours), own, ", ".join(f"{name} {used:.1f}" for name, used in split.items()))
    section.add("naive", Spread.of(theirs), Spread.of(naive_costs), "")
    ratio = Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
    section.judge("T5", "end to end against the naive program", "1.3x", f"{ratio}x", ratio.median >= 1.3)
    scripts, commands = (Spread.of([count[name] for count in counted]) for name in ("evalsha", "all"))
    section.notes.append(f"Redis per job: {scripts} scripts, {commands} commands with those inside of scripts.")
    rows = (f"{name} {rss:.0f} ({pss:.0f}; {count})" for name, (rss, pss, count) in memory.items())
    section.notes.append(f"Memory after the load, MB resident (proportional; processes): {', '.join(rows)}.")
    return section


def load(backend: Backend, jobs: int) -> tuple[int, float]:
    """The number of results, and the seconds from the first message to the last of them."""
    tag = secrets.token_hex(3)
    job_ids = [f"bench-{tag}-{n}" for n in range(jobs)]
    began = time.monotonic()
    for n, job_id in enumerate(job_ids):
        backend.send(job_id, spec(n))
    return _done(backend, job_ids, began)


def load_naive(backend: Backend, jobs: int) -> tuple[int, float]:
    """The same through the naive program."""
    tag = secrets.token_hex(3)
    job_ids = [f"naive-{tag}-{n}" for n in range(jobs)]
    began = time.monotonic()
    for n, job_id in enumerate(job_ids):
        name = tuple(SPECS)[n % len(SPECS)]
        backend.app.send_task("naive.generate", (job_id, name, body(n, name)), queue="naive")
    return _done(backend, job_ids, began)


def _done(backend: Backend, job_ids: Sequence[str], began: float) -> tuple[int, float]:
    done = 0
    while done < len(job_ids) and time.monotonic() - began < PATIENCE_SECONDS:
        time.sleep(0.1)
        done = backend.succeeded(job_ids)
    return done, time.monotonic() - began


def body(n: int, provider: str) -> dict[str, object]:
    """The wire form of `spec(n)`, written by hand as the naive program's author would."""
    fields = spec(n, provider)
    common = {"prompt": fields["prompt"]}
    if provider == "gmicloud":
        return {"model": fields["model"], "payload": {**common, "duration": "3"}}
    if provider == "evolink":
        return {"model": fields["model"], **common, "duration": 3, "image_start": fields["first_frame"]}
    return {"model": fields["model"], **common, "duration": 3}


@contextmanager
def naive_program(stack: Stack) -> Iterator[Process]:
    """The naive program's worker, beside the stack's."""
    env = {
        **stack.env,
        "NAIVE_REDIS_URL": stack.env["CALLSHEET_REDIS_URL"],
        "NAIVE_CA_FILE": stack.env["CALLSHEET_CA_FILE"],
        "NAIVE_PROVIDERS": stack.sandbox.url,
        "PYTHONPATH": os.fspath(SOURCE),
    }
    process = Process(
        "naive",
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            naive.__name__,
            "worker",
            "-c",
            "2",
            "-Q",
            "naive",
            "-n",
            "naive@%h",
            "-l",
            "INFO",
        ],
        directory=SOURCE,
        logs=stack.data.logs,
        env=env,
        is_ready=log_says(r"\bready\."),
    )
    with process:
        yield process


if __name__ == "__main__":
    main(run)
