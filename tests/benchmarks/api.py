"""The HTTP API: long polls of many callers, orders beside `client.enqueue`, and the memory of its process."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from deploy.local.ports import free_port
from deploy.local.procfile import read_procfile
from deploy.local.sandbox_process import SOURCE
from deploy.local.valkey import Valkey
from tests.benchmarks import crowd
from tests.benchmarks.figures import Section, Spread, main, percentile
from tests.benchmarks.system import spec, wait_for
from worker.store import Store

TOKEN = "a-token-of-the-benchmark-000000000000"
WAITING = 200
CHANGES = 10
ORDERS = 200
ROUNDS = 3
CALLERS = 8
MOST_WAKE_MS = 200


def run() -> Section:
    """Long polls, orders and memory of the HTTP API as it is shipped."""
    section = Section(
        "The HTTP API",
        f"`POST /v1/jobs` by {CALLERS} connections beside `client.enqueue` in one process, {ORDERS} orders a round in "
        f"turns; {WAITING} long polls at once, {CHANGES} changes, from the change to the last byte of each answer. "
        "Valkey with `appendfsync always`; callers, console and Redis share the cores.",
        ("what", "figure"),
    )
    with (
        tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home,
        Valkey(Path(home), "benchmark") as valkey,
        console(crowd.environment(valkey.url), Path(home)) as (url, pid),
    ):
        of_start = resident_mb(pid)
        by_api, by_client = [], []
        for number in range(ROUNDS + 1):
            by_api.append(orders_by_api(url, number))
            by_client.append(orders_by_client(crowd.environment(valkey.url), number))
        with crowd.a_store(valkey.url) as store:
            one, cpu_of_one = wakes(url, store, ["api-0-0"] * WAITING, pid)
            each, cpu_of_each = wakes(url, store, [f"api-0-{n}" for n in range(WAITING)], pid)
        peak = resident_mb(pid)
    ratio = Spread.of([mine / other for mine, other in zip(by_api[1:], by_client[1:], strict=True)])
    section.add("orders/s by POST /v1/jobs", Spread.of(by_api[1:]))
    section.add("orders/s by client.enqueue", Spread.of(by_client[1:]))
    section.add("POST /v1/jobs : client.enqueue", ratio)
    for name, taken, cpu in (("one job", one, cpu_of_one), ("a job each, all changed at once", each, cpu_of_each)):
        section.add(f"{WAITING} wait for {name}: wake p50 ms", percentile(taken, 50))
        section.add(f"{WAITING} wait for {name}: wake p95 ms", percentile(taken, 95))
        section.add(f"{WAITING} wait for {name}: CPU ms of the console per wake", cpu)
    section.add("console, resident MB at the start", of_start)
    section.add("console, resident MB after all this", peak)
    p95, of_each = percentile(one, 95), percentile(each, 95)
    section.judge(
        "long polls",
        f"p95 from a change to the answers, {WAITING} waiting for it ({WAITING} changes at once)",
        f"{MOST_WAKE_MS} ms",
        f"{p95:.0f} ms ({of_each:.0f} ms)",
        p95 <= MOST_WAKE_MS,
    )
    return section


@contextmanager
def console(env: Mapping[str, str], home: Path) -> Iterator[tuple[str, int]]:
    """The console as the Procfile starts it: its URL, and the process that serves."""
    port = free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {"CALLSHEET_CONSOLE_PORT": str(port), "CALLSHEET_API_TOKENS": f"all:read+prompts+submit:{TOKEN}"}
    command = ["/bin/sh", "-c", read_procfile(SOURCE / "Procfile")["console"]]
    with (home / "console.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=SOURCE, env={**env, **own, "PATH": path}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: is_up(url), 60, "the console answers")
        yield url, worker_of(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/live", timeout=5).ok
    except requests.RequestException:
        return False


def worker_of(master: int) -> int:
    """gunicorn's one child."""
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def resident_mb(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024


def orders_by_api(url: str, number: int) -> float:
    """Orders per second, each caller over a connection that it keeps."""

    def order(first: int) -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            for n in range(first, ORDERS, CALLERS):
                key = {"Idempotency-Key": f"api-{number}-{n}"}
                assert session.post(f"{url}/v1/jobs", json=spec(n), headers=key, timeout=60).status_code == 202

    began = time.perf_counter()
    callers = [threading.Thread(target=order, args=(first,)) for first in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return ORDERS / (time.perf_counter() - began)


def orders_by_client(env: Mapping[str, str], number: int) -> float:
    """Orders per second of a backend's own process."""
    command = [sys.executable, "-m", "tests.benchmarks.api", "--enqueue", str(number)]
    env = {**env, "PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=env, cwd=SOURCE, capture_output=True, text=True, timeout=90, check=True)
    return float(json.loads(done.stdout))


def enqueue_many(number: int) -> float:
    """The part of `orders_by_client` that runs in the process of the backend."""
    from worker.client import enqueue
    from worker.services import Services
    from worker.settings.settings import Settings

    services = Services.from_settings(Settings.from_env(os.environ))
    enqueue(spec(0), f"first-{number}", services=services)
    began = time.perf_counter()
    for n in range(ORDERS):
        enqueue(spec(n), f"client-{number}-{n}", services=services)
    return ORDERS / (time.perf_counter() - began)


def cpu_ms(pid: int) -> float:
    """Milliseconds of CPU that a process has used."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def wakes(url: str, store: Store, job_ids: list[str], pid: int) -> tuple[list[float], float]:
    """Milliseconds from the change of a job to the whole answer, for each who waits for one of *job_ids*; and the
    milliseconds of CPU that each answer costs the console."""
    taken: list[float] = []
    cpu = 0.0
    host, port = url.removeprefix("http://").split(":")
    for _ in range(CHANGES):
        versions = store.records.versions(set(job_ids))
        waiting = selectors.DefaultSelector()
        for job_id in job_ids:
            caller = socket.create_connection((host, int(port)))
            asked = f"GET /v1/jobs/{job_id}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            caller.sendall(f'{asked}If-None-Match: "{versions[job_id]}"\r\nConnection: close\r\n\r\n'.encode())
            waiting.register(caller, selectors.EVENT_READ)
        time.sleep(1.5)  # until all of them wait
        before = cpu_ms(pid)
        taken += changed(store, list(dict.fromkeys(job_ids)), waiting, len(job_ids))
        cpu += cpu_ms(pid) - before
    return taken, cpu / len(taken)


def changed(store: Store, job_ids: list[str], waiting: selectors.BaseSelector, count: int) -> list[float]:
    """Change all the jobs at once, and read the answers until their connections are closed."""
    keys, client = store.scripts.keys, store.scripts.client
    pipeline = client.pipeline(transaction=True)
    for job_id in job_ids:
        pipeline.hincrby(keys.record(job_id), "ver", 1)
    pipeline.execute()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < count:
        for key, _ in waiting.select(30):
            caller = key.fileobj
            assert isinstance(caller, socket.socket)
            if not caller.recv(65536):
                taken.append((time.perf_counter() - began) * 1000)
                waiting.unregister(caller)
                caller.close()
    return taken


if __name__ == "__main__":
    if "--enqueue" in sys.argv:
        sys.stdout.write(json.dumps(enqueue_many(int(sys.argv[-1]))))
    else:
        main(run)
