"""Bulkhead of the notify step: how many notifications one process sends at once, and to whom.

A receiver may take its 15 seconds, so a POST holds no slot of Celery's: it is sent by a thread of this pool, and a
message only hands jobs over. No host has more than a part of the threads (`worker/notifications/hosts.py`); jobs of a
host that is slow or dead are put off, and those of others pass them by.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence

from worker.errors import CallsheetError
from worker.jobs.job import Job
from worker.jobs.timing import ms
from worker.logs import bound
from worker.services import Services
from worker.steps import Step, notify

log = logging.getLogger(__name__)

THREADS = 16
"""Four hosts that are as slow as they may be leave no thread free; they are soon left alone (`hosts.py`)."""

Publish = Callable[[Step, Sequence[str]], None]


class NotifyPool:
    """The threads of one process, started while there is something to send."""

    def __init__(self, services: Services, publish: Publish, *, threads: int = THREADS) -> None:
        self._services = services
        self._publish = publish
        self._threads = threads
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Job]] = {}  # host -> jobs; the host that was served last stands last
        self._known: set[str] = set()  # jobs that wait or are being sent
        self._busy = 0

    def offer(self, job_ids: Collection[str]) -> None:
        """Take over the tries of *job_ids* that are due; those for whose host there is no room are put off."""
        for job_id in job_ids:
            try:
                found = notify.host_of(job_id, self._services)
                if found is not None:
                    self._take(*found)
            except CallsheetError as err:
                log.error("step.postponed", extra={"step": Step.NOTIFY, "job_id": job_id, "reason": str(err)})

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether all that was offered has been tried or put off within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_seconds)

    def _take(self, job: Job, host: str) -> None:
        limits = self._services.notifications.hosts
        with self._changed:
            if job.id in self._known:
                return
            waiting = self._waiting.get(host, ())
            is_held = limits.is_open(host) or not limits.has_room(host, len(waiting))
            if not is_held:
                self._known.add(job.id)
                self._waiting.setdefault(host, deque()).append(job)
                if self._busy < self._threads:
                    self._busy += 1
                    threading.Thread(target=self._serve, name="notify", daemon=True).start()
        if is_held:
            self._hold(host, job)

    def _hold(self, host: str, job: Job) -> None:
        seconds = self._services.notifications.hosts.hold_seconds(host)
        self._services.store.notifications.hold(job, hold_ms=ms(seconds))

    def _serve(self) -> None:
        """Send until nothing is left that may be sent."""
        while (chosen := self._next()) is not None:
            host, job = chosen
            began, is_up = self._services.monotonic(), None
            try:
                is_up = self._send(job.id)
            finally:
                seconds = self._services.monotonic() - began
                self._services.notifications.hosts.end(host, is_up=is_up, seconds=seconds)
                for waiting in self._given_up(host, job):
                    self._hold(host, waiting)

    def _send(self, job_id: str) -> bool | None:
        """Take the step for one job; whether its host is up, as far as that was seen. No defect ends a thread."""
        try:
            with bound(step=Step.NOTIFY, job_id=job_id):
                turn = notify.take(job_id, self._services)
        except CallsheetError as err:
            log.error("step.postponed", extra={"step": Step.NOTIFY, "job_id": job_id, "reason": str(err)})
            return None
        except Exception:  # a defect met by one job
            log.exception("step.broke", extra={"step": Step.NOTIFY, "job_id": job_id})
            return None
        if turn.following is not None:
            self._publish(turn.following, [job_id])
        return turn.is_host_up

    def _given_up(self, host: str, done: Job) -> Sequence[Job]:
        """The jobs that waited for a host whose breaker has opened meanwhile: they wait here no more."""
        with self._changed:
            self._known.discard(done.id)
            if not self._services.notifications.hosts.is_open(host):
                return ()
            jobs = self._waiting.pop(host, deque())
            self._known -= {job.id for job in jobs}
            return tuple(jobs)

    def _next(self) -> tuple[str, Job] | None:
        """The next job whose host takes one more, begun; None ends the calling thread."""
        limits = self._services.notifications.hosts
        with self._changed:
            for host in list(self._waiting):
                if not limits.begin(host):
                    continue
                jobs = self._waiting.pop(host)
                job = jobs.popleft()
                if jobs:
                    self._waiting[host] = jobs
                return host, job
            self._busy -= 1
            self._changed.notify_all()
            return None
