"""The cost of enqueueing for its caller, `client.enqueue` beside a bare `send_task`; the start of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deploy.local.sandbox_process import SOURCE
from deploy.local.valkey import Valkey
from tests.benchmarks import crowd
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.system import spec

JOBS = 400
ROUNDS = 5
LIMIT_SECONDS = 90

IMPORTS = {
    "client": "import worker.client, worker.celery",
    "worker, archiver, sweeper": "import worker.celery, worker.tasks",
    "web": "import webhook.wsgi; webhook.wsgi.application()",
    "callsheet list and show": "import worker.cli.listing, worker.cli.show",
}


def run() -> Section:
    """`client.enqueue` beside `send_task`; start-up of the processes."""
    section = Section(
        "Enqueueing",
        f"{JOBS} jobs a round from one process, in turns; Valkey with `appendfsync always`. `client.enqueue` checks "
        "the spec, records the job durably and nudges; `send_task` only sends the message.",
        ("what", "per second"),
    )
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home, Valkey(Path(home), "benchmark") as valkey:
        env = {**crowd.environment(valkey.url), "PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
        told = _python("-m", "tests.benchmarks.enqueue", "--measure", env=env)
        rounds = json.loads(told)
        for name, code in IMPORTS.items():
            seconds = Spread.of([_seconds(code, env) for _ in range(3)])
            section.notes.append(f"Start-up of {name}, imports and all: {seconds} s.")
    enqueued, sent, floor = ([row[n] for row in rounds] for n in (0, 1, 2))
    section.add("client.enqueue", Spread.of(enqueued))
    section.add("send_task alone", Spread.of(sent))
    section.add("send_task after one durable SET of the spec: the floor", Spread.of(floor))
    ratio, least = (Spread.of([row[n] / row[1] for row in rounds]) for n in (0, 2))
    section.judge(
        "T12",
        "client.enqueue against send_task alone (the floor: one durable SET before it)",
        "0.7x",
        f"{ratio}x ({least}x)",
        ratio.median >= 0.7,
    )
    return section


def _python(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True
    )
    return done.stdout


def _seconds(code: str, env: dict[str, str]) -> float:
    began = time.perf_counter()
    _python("-c", code, env=env)
    return time.perf_counter() - began


def measure() -> list[tuple[float, float, float]]:
    """Per round: jobs per second by `enqueue`, by `send_task`, and by that after the least that is durable.

    In a process with the environment of a client.
    """
    from worker.celery import app  # reads the environment when it is imported
    from worker.client import enqueue
    from worker.services import Services
    from worker.settings.settings import Settings
    from worker.store import connect

    settings = Settings.from_env(os.environ)
    services, client = Services.from_settings(settings), connect(settings.redis_url)

    def send(number: int, n: int) -> None:
        app.send_task(
            "callsheet.generate", kwargs=spec(n), task_id=f"sent-{number}-{n}", queue="callsheet", kwargsrepr="<spec>"
        )

    def set_and_send(number: int, n: int) -> None:
        client.set(f"floor-{number}-{n}", json.dumps(spec(n)))
        send(number, n)

    def record_and_nudge(number: int, n: int) -> None:
        enqueue(spec(n), f"enqueued-{number}-{n}", services=services)

    rounds = []
    for number in range(ROUNDS + 1):
        rates = []
        for way in (record_and_nudge, send, set_and_send):
            began = time.perf_counter()
            for n in range(JOBS):
                way(number, n)
            rates.append(JOBS / (time.perf_counter() - began))
        rounds.append((rates[0], rates[1], rates[2]))
    return rounds[1:]


if __name__ == "__main__":
    if "--measure" in sys.argv:
        sys.stdout.write(json.dumps(measure()))
    else:
        main(run)
