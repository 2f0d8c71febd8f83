"""Load, and under it every process killed: what `kill -9` hits on purpose, and the jobs that must survive it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from celery.result import AsyncResult

from tests.acceptance import readme
from tests.acceptance.backend import Backend, a_spec, new_id
from tests.acceptance.ledger import Ledger
from tests.acceptance.system import System
from tests.conftest import WaitUntil

PATIENCE_SECONDS = 60
SLOW_POST = {"on": "submit", "slow_seconds": 20}
SLOW_DOWNLOAD = {"on": "download", "slow_seconds": 20}


class Storm:
    """`jobs` are all that were asked for; `in_post` and `in_download` those that a kill hit in the middle."""

    def __init__(self, system: System, backend: Backend, ledger: Ledger, wait_until: WaitUntil) -> None:
        self.jobs: dict[str, Mapping[str, Any]] = {}
        self.in_post: list[str] = []
        self.in_download: list[str] = []
        self._system = system
        self._backend = backend
        self._ledger = ledger
        self._wait_until = wait_until

    def rage(self) -> None:
        """Kill everything once; returns when all is up again and every job is known to Callsheet."""
        self._kill_the_worker_in_two_posts()
        self._record(["gmicloud", "evolink", "apimart"] * 4)
        self._kill_the_archiver_in_a_download()
        self._send("evolink", "gmicloud", "apimart", "evolink")
        self._system.kill("sweeper", "beat")
        self._kill_the_receiver_while_callbacks_come()
        self._send("apimart", "evolink", "gmicloud", "evolink")
        self._system.kill("valkey")
        self._wait_until(self._backend.has_insisted, PATIENCE_SECONDS)

    def result(self, job_id: str) -> AsyncResult[Any]:
        return self._backend.result(job_id)

    def _kill_the_worker_in_two_posts(self) -> None:
        """Both of the worker's slots are in a POST that the provider has taken and not yet answered."""
        self.in_post = [self._send_one("gmicloud", SLOW_POST), self._send_one("evolink", SLOW_POST)]
        self._send("evolink", "gmicloud", "evolink")
        self._wait_until(lambda: all(self._ledger.created(job_id) for job_id in self.in_post), PATIENCE_SECONDS)
        self._system.kill("worker")

    def _kill_the_archiver_in_a_download(self) -> None:
        self.in_download = [self._send_one("evolink", SLOW_DOWNLOAD)]
        [job_id] = self.in_download
        self._wait_until(self._backend.has_insisted, PATIENCE_SECONDS)
        self._wait_until(lambda: self._ledger.downloads(job_id), PATIENCE_SECONDS)
        self._system.kill("archiver")

    def _kill_the_receiver_while_callbacks_come(self) -> None:
        called = [self._send_one("evolink", {"on": "generation", "seconds": 1}) for _ in range(4)]
        self._wait_until(lambda: any(self._ledger.created(job_id) for job_id in called), PATIENCE_SECONDS)
        self._system.kill("web")

    def _send(self, *providers: str) -> None:
        for provider in providers:
            self._send_one(provider)

    def _send_one(self, provider: str, *trouble: Mapping[str, Any]) -> str:
        job_id = new_id("storm")
        self._backend.script(job_id, *trouble)
        self.jobs[job_id] = a_spec(job_id, provider)
        self._backend.send(job_id, self.jobs[job_id])
        return job_id

    def _record(self, providers: list[str]) -> None:
        """Enqueue as a service with Callsheet installed does: these need nobody who insists."""
        specs = {job_id: a_spec(job_id, provider) for provider in providers for job_id in [new_id("recorded")]}
        subprocess.run(
            [sys.executable, "-m", "tests.acceptance.enqueue_many"],
            env=self._system.env,
            cwd=readme.ROOT,
            input=json.dumps(specs),
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        self.jobs |= specs
