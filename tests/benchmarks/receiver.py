"""Callbacks per second and their latency through the shipped server, beside what such a server can do at best."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis

from deploy.local.health import http_answers
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.sandbox_process import ANY_STATUS, SOURCE
from deploy.local.valkey import Valkey
from tests.benchmarks import crowd, procs
from tests.benchmarks.drive import Load, cycle, drive, post
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.system import tell
from worker.jobs.callback_token import callback_url

ROUNDS = 3
SECONDS = 1.5
MOST_REQUESTS = 4000
"""More than any server here answers in a round."""
WARM_REQUESTS = 400
SHIPPED = ("--config", "deploy/gunicorn.conf.py")
SYNC = ("--workers", "2", "--worker-class", "sync", "--keep-alive", "5")


def run() -> Section:
    """Callbacks through the shipped server configuration, beside a no-op route and the bare Redis script."""
    section = Section(
        "Receiver",
        f"1.1 KB callbacks, {SECONDS:g} s a round; load generator and Valkey on the same cores. Connections are kept, "
        "but for gunicorn's sync workers, which close them. Ours: body cap, token, strict JSON, match, durable store, "
        "nudge handed to the publisher. `appendfsync always` unless said.",
        ("server", "what", "connections", "answers/s", "p50 ms", "p99 ms", "of no-op (32)"),
    )
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home, Valkey(Path(home, "v"), "benchmark") as valkey:
        bench = Bench(section, Path(home), valkey)
        bench.beside_no_op()
        bench.beside_send_task()
        bench.broker_down()
        bench.shapes()
        bench.bare_script()
    return section


class Bench:
    """The rounds; each server is started for its own, and two that are compared take turns."""

    def __init__(self, section: Section, home: Path, valkey: Valkey) -> None:
        self._section = section
        self._home = home
        self._valkey = valkey
        self._no_op = 0.0
        self._redis = redis.Redis.from_url(valkey.url)
        self._processes: dict[int, Process] = {}

    def beside_no_op(self) -> None:
        """T1 and T3: the shipped server beside the cheapest route on gunicorn sync x2."""
        with self._server("tests.benchmarks.servers:no_op()", SYNC) as plain, self._ours() as ours:
            pairs = [(self._flat(plain, 32), self._fresh(ours, 32)) for _ in range(ROUNDS)]
            self._no_op = Spread.of([no_op.per_second for no_op, _ in pairs]).median
            self._add("gunicorn sync x2", "no-op Flask route", 32, [no_op for no_op, _ in pairs])
            self._add("shipped", "fresh", 32, [load for _, load in pairs])
            paced = [self._fresh(ours, 32, per_second=200.0) for _ in range(ROUNDS)]
            self._add("shipped", "fresh, 200/s", 32, paced)
        ratio = Spread.of([load.per_second / no_op.per_second for no_op, load in pairs])
        by_cpu = Spread.of([no_op.cpu_us / load.cpu_us for no_op, load in pairs])
        self._section.judge(
            "T1",
            "durable accept against no-op (the same by CPU time of servers, Valkey and load generator)",
            "0.30",
            f"{ratio} ({by_cpu})",
            ratio.median >= 0.3,
        )
        microseconds = [Spread.of([load.cpu_us for load in loads]) for loads in zip(*pairs, strict=True)]
        self._section.notes.append(f"CPU us per answer, all told: no-op {microseconds[0]}, ours {microseconds[1]}.")
        p99 = Spread.of([load.ms(99) for load in paced])
        self._section.judge("T3", "p99 at 200/s", "10 ms", f"{p99} ms", p99.median <= 10)
        tell(f"receiver: {ratio} of no-op")

    def beside_send_task(self) -> None:
        """T2: the publisher beside `send_task` before the answer."""
        with self._server("tests.benchmarks.servers:sending()", SHIPPED) as eager, self._ours() as ours:
            pairs = [(self._fresh(eager, 32), self._fresh(ours, 32)) for _ in range(ROUNDS)]
        self._add("shipped", "fresh, `send_task` before the answer", 32, [load for load, _ in pairs])
        ratio = Spread.of([load.per_second / eager.per_second for eager, load in pairs])
        by_cpu = Spread.of([eager.cpu_us / load.cpu_us for eager, load in pairs])
        what = "against send_task before the answer (the same by CPU time)"
        self._section.judge("T2", what, "1.7x", f"{ratio}x ({by_cpu}x)", ratio.median >= 1.7)

    def broker_down(self) -> None:
        """T4: a broker that takes connections and says nothing, and one that refuses them."""
        with socket.create_server((LOOPBACK, 0)) as silent:
            frozen = f"redis://{LOOPBACK}:{silent.getsockname()[1]}/0"
            gone = f"redis://{LOOPBACK}:{free_port()}/0"
            with self._ours() as up, self._ours(frozen) as stuck, self._ours(gone) as down:
                rounds = [tuple(self._fresh(server, 32) for server in (up, stuck, down)) for _ in range(ROUNDS)]
        self._add("shipped", "fresh, broker frozen", 32, [loads[1] for loads in rounds])
        self._add("shipped", "fresh, broker down", 32, [loads[2] for loads in rounds])
        ratio = Spread.of([min(a.per_second, b.per_second) / up.per_second for up, a, b in rounds])
        self._section.judge("T4", "broker frozen or down, against up", "1.0x", f"{ratio}x", ratio.median >= 0.95)

    def shapes(self) -> None:
        """Other numbers of connections, duplicates, and `appendfsync everysec`."""
        with self._ours() as ours:
            for connections in (1, 256):
                self._add("shipped", "fresh", connections, [self._fresh(ours, connections) for _ in range(ROUNDS)])
            same = [self._fresh(ours, 32, distinct=50, most=MOST_REQUESTS) for _ in range(ROUNDS)]
            self._add("shipped", "duplicates", 32, same)
            self._redis.config_set("appendfsync", "everysec")
            self._add("shipped", "fresh, AOF everysec", 32, [self._fresh(ours, 32) for _ in range(ROUNDS)])
            self._redis.config_set("appendfsync", "always")

    def bare_script(self) -> None:
        """The store's script alone, from one client in one process."""
        rates = []
        for _ in range(ROUNDS):
            crowd.gather(self._valkey.url, 3000)
            with crowd.a_store(self._valkey.url) as store:
                began = time.perf_counter()
                for n in range(3000):
                    text, mark = json.dumps(completed(n)), f"f{n}"
                    store.callbacks.arrive(
                        crowd.crowd_id(n),
                        attempt=1,
                        request_id=crowd.REQUEST_ID,
                        fingerprint=mark,
                        is_terminal=True,
                        event_json=text,
                    )
                rates.append(3000 / (time.perf_counter() - began))
        self._section.add("none", "`callbacks.arrive` alone, fresh", 1, Spread.of(rates), "", "", "")

    @contextmanager
    def _ours(self, broker: str | None = None) -> Iterator[tuple[str, int]]:
        with self._server("webhook.wsgi:application()", SHIPPED, broker) as address:
            yield address

    @contextmanager
    def _server(self, app: str, options: Sequence[str], broker: str | None = None) -> Iterator[tuple[str, int]]:
        port = free_port()
        env = {
            **crowd.environment(self._valkey.url),
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            **({"CALLSHEET_BROKER_URL": broker} if broker else {}),
        }
        options = options if "--config" in options else (*options, "--bind", f"{LOOPBACK}:{port}")
        gunicorn = shutil.which("gunicorn", path=str(Path(sys.executable).parent)) or "gunicorn"
        process = Process(
            f"web-{port}",
            [gunicorn, *options, app],
            directory=SOURCE,
            logs=self._home,
            env=env,
            is_ready=http_answers(f"http://{LOOPBACK}:{port}/live", good=ANY_STATUS),
        )
        with process:
            self._processes[port] = process
            self._fresh(
                (LOOPBACK, port), 32, distinct=WARM_REQUESTS
            )  # connections, imports, the broker's first message
            yield LOOPBACK, port

    def _fresh(
        self,
        address: tuple[str, int],
        connections: int,
        *,
        distinct: int = MOST_REQUESTS,
        per_second: float | None = None,
        most: int = 0,
    ) -> Load:
        """A round of callbacks; each for a job of its own, unless there are more than *distinct*: *most* in all."""
        crowd.gather(self._valkey.url, distinct)
        sent = cycle([callback(n) for n in range(distinct)], max(distinct, most))
        return self._drive(address, sent, connections, per_second)

    def _flat(self, address: tuple[str, int], connections: int) -> Load:
        return self._drive(address, cycle([callback(0)], 40_000), connections)

    def _drive(
        self, address: tuple[str, int], sent: Sequence[bytes], connections: int, per_second: float | None = None
    ) -> Load:
        before = self._cpu_seconds(address)
        load = drive(address, sent, connections, seconds=SECONDS, per_second=per_second)
        load.cpu_seconds = self._cpu_seconds(address) - before
        return load

    def _cpu_seconds(self, address: tuple[str, int]) -> float:
        """CPU time of that server, of Valkey, and of this process, which is the load."""
        told = self._redis.info("cpu")
        valkey = float(told["used_cpu_user"]) + float(told["used_cpu_sys"])
        return procs.cpu_seconds(self._processes[address[1]].pid) + valkey + time.process_time()

    def _add(self, server: str, what: str, connections: int, loads: Sequence[Load]) -> None:
        rate = Spread.of([load.per_second for load in loads])
        others = {status: count for load in loads for status, count in load.statuses.items() if status != 200}
        of_no_op = f"{rate.median / self._no_op:.2f}" if self._no_op else ""
        p50, p99 = (Spread.of([load.ms(percent) for load in loads]) for percent in (50, 99))
        self._section.add(server, f"{what}{f' ({others})' if others else ''}", connections, rate, p50, p99, of_no_op)


def completed(n: int) -> Mapping[str, object]:
    """EvoLink's callback, filled up to 1.1 KB with a signed link as long as real ones."""
    link = f"https://files.example.com/{n}/video.mp4?X-Signature={'0123456789abcdef' * 48}"
    return {
        "created": 1756817821,
        "id": crowd.REQUEST_ID,
        "model": "kling-v3-turbo-image-to-video",
        "object": "video.generation.task",
        "progress": 100,
        "results": [link],
        "status": "completed",
        "task_info": {"can_cancel": False},
        "type": "video",
    }


def callback(n: int) -> bytes:
    path = callback_url("", (crowd.SECRET,), "evolink", crowd.crowd_id(n), 1)
    return post(path, json.dumps(completed(n)).encode())


if __name__ == "__main__":
    main(run)
