"""Waiting for jobs to change: one thread reads the versions of all waited jobs, however many wait."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from worker.errors import StoreError
from worker.jobs.job import is_job_id
from worker.store import Store

LOOK_SECONDS = 0.05
READS = 16
"""Connections to Redis that a burst of callers takes."""


@dataclass(eq=False)
class _Waiter:
    """One who waits for another version than this."""

    version: int
    woken: threading.Event = field(default_factory=threading.Event)


class Watcher:
    """Wakes those whose job has another version. Its thread runs while anybody waits; under gevent, a greenlet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, list[_Waiter]] = defaultdict(list)
        self._lock = threading.Lock()
        self._is_running = False
        self._reads = threading.BoundedSemaphore(READS)

    def version(self, job_id: str) -> int | None:
        """The job's version now; None where there is no such job."""
        if not is_job_id(job_id):
            return None
        with self._reads:
            return self._store.records.versions([job_id]).get(job_id)

    def wait(self, job_id: str, version: int, seconds: float) -> None:
        """Return once the job's version is not *version*, the store is silent, or *seconds* are over."""
        waiter = _Waiter(version)
        with self._lock:
            self._waiting[job_id].append(waiter)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="watcher", daemon=True).start()
        waiter.woken.wait(seconds)
        with self._lock:
            self._waiting[job_id].remove(waiter)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def _run(self) -> None:
        stopped = threading.Event()
        while True:
            with self._lock:
                waited = list(self._waiting)
                if not waited:
                    self._is_running = False
                    return
            found: dict[str, int] | None = None
            with suppress(StoreError):  # those who wait are told when they look for themselves
                found = self._store.records.versions(waited)
            self._wake(waited, found)
            stopped.wait(LOOK_SECONDS)

    def _wake(self, looked_at: list[str], found: Mapping[str, int] | None) -> None:
        """Wake those whose job has changed, or all of them where the store is silent."""
        with self._lock:
            for job_id in looked_at:
                for waiter in self._waiting.get(job_id, ()):
                    if found is None or found.get(job_id) != waiter.version:
                        waiter.woken.set()
