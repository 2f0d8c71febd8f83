"""Waiting for jobs to change: one thread reads the versions of all waited jobs, however many wait."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress

from worker.errors import StoreError
from worker.jobs.job import is_job_id
from worker.store import Store

LOOK_SECONDS = 0.08
READS = 16
"""Connections to Redis that a burst of waiters takes."""


class Watcher:
    """Wakes waiters when a job's version is another. Its thread runs while anybody waits; under gevent, a greenlet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waited: Counter[str] = Counter()
        self._versions: dict[str, int] = {}
        self._changed = threading.Condition()
        self._is_running = False
        self._failures = 0
        self._reads = threading.BoundedSemaphore(READS)

    def version(self, job_id: str) -> int | None:
        """The job's version now; None where there is no such job."""
        if not is_job_id(job_id):
            return None
        with self._reads:
            return self._store.records.versions([job_id]).get(job_id)

    def wait(self, job_id: str, version: int, seconds: float) -> None:
        """Return once the job's version is above *version*, the store is silent, or *seconds* are over."""
        with self._changed:
            self._waited[job_id] += 1
            failures = self._failures
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="watcher", daemon=True).start()
            try:
                self._changed.wait_for(
                    lambda: self._versions.get(job_id, version) > version or self._failures != failures, seconds
                )
            finally:
                self._waited[job_id] -= 1
                if not self._waited[job_id]:
                    del self._waited[job_id]
                    self._versions.pop(job_id, None)

    def _run(self) -> None:
        stopped = threading.Event()
        while True:
            with self._changed:
                waited = list(self._waited)
                if not waited:
                    self._is_running = False
                    return
            found: dict[str, int] | None = None
            with suppress(StoreError):  # those who wait are told when they look for themselves
                found = self._store.records.versions(waited)
            with self._changed:
                if found is None:
                    self._failures += 1
                    self._changed.notify_all()
                else:
                    news = {name: ver for name, ver in found.items() if self._versions.get(name) != ver}
                    self._versions.update({name: ver for name, ver in news.items() if name in self._waited})
                    if news:
                        self._changed.notify_all()
            stopped.wait(LOOK_SECONDS)
