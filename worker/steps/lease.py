"""A lease that is kept for as long as its step makes progress, and no longer.

A watchdog for steps that outlast one lease: those that copy videos. Bytes, parts
and answers are progress. A step that shows none for `archive_stall_seconds`, or
that lasts longer than any copy can, loses its claim, which log and record tell:
the job is tried again by another, whatever has become of the thread that hangs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import TracebackType

from worker.errors import LeaseLostError, SlowDownloadError, StoreError
from worker.jobs.durations import span
from worker.jobs.timing import ms
from worker.services import Services
from worker.store import Claim, Fields
from worker.store.counters import Counter

log = logging.getLogger(__name__)


class Lease:
    """A claim, renewed within the `with` block by a thread of its own: a slow provider or a slow S3 may hold up the
    one that copies for longer than a lease.

    With *most_seconds*, `keeping` cuts a download that lasts longer. *on_stall* is called, from the renewing thread,
    when the claim is given up because nothing moves.
    """

    def __init__(
        self,
        claim: Claim,
        services: Services,
        *,
        most_seconds: float | None = None,
        on_stall: Callable[[], object] = lambda: None,
    ) -> None:
        self.claim = claim
        self._services = services
        self._most_seconds = most_seconds
        self._on_stall = on_stall
        self._began = self._moved_at = services.monotonic()
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._heart = threading.Thread(
            target=copy_context().run, args=(self._beat,), name=f"lease-{claim.job.id}", daemon=True
        )

    def __enter__(self) -> Lease:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()

    def progress(self) -> None:
        """Something has moved: a chunk, a part, an answer."""
        self._moved_at = self._services.monotonic()

    def keeping(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """*chunks* as they come, each of which is progress.

        Raises `LeaseLostError` once the claim is somebody else's, `SlowDownloadError` after *most_seconds*.
        """
        for chunk in chunks:
            self.progress()
            if self._lost.is_set():
                raise self._loss()
            if self._most_seconds is not None and self._services.monotonic() - self._began > self._most_seconds:
                raise SlowDownloadError(
                    "slow_here", f"not done within {span(self._most_seconds)}; it has to wait for a place"
                )
            yield chunk

    def renew(self) -> None:
        """Have a whole lease left, or raise `LeaseLostError`."""
        if self._lost.is_set():
            raise self._loss()
        renewed = self._services.store.due.renew(self.claim, lease_ms=ms(self._services.timing.archive_lease_seconds))
        if renewed is None:
            self._lost.set()
            raise self._loss()
        self.claim = renewed

    def _beat(self) -> None:
        while not self._ended.wait(self._services.timing.archive_renew_seconds):
            try:
                if reason := self._why_given_up():
                    self._give_up(reason)
                    return
                self.renew()
            except LeaseLostError:
                return
            except StoreError as err:
                log.warning("lease.unrenewed", extra={"job_id": self.claim.job.id, "reason": str(err)})

    def _why_given_up(self) -> str:
        now, timing = self._services.monotonic(), self._services.timing
        if now - self._moved_at > timing.archive_stall_seconds:
            return f"nothing has moved for {span(now - self._moved_at)}"
        if now - self._began > timing.archive_longest_seconds:
            return f"not done within {span(now - self._began)}"
        return ""

    def _give_up(self, reason: str) -> None:
        """End the claim; the thread that copies writes nothing any more, should it ever go on."""
        job, services = self.claim.job, self._services
        if not self._lost.is_set():
            self._lost.set()
            log.error("step.stalled", extra={"job_id": job.id, "reason": reason})
            self._on_stall()
        delay = services.timing.retry_seconds(job.failures, services.rng)
        notes: Fields = {
            "failures": str(job.failures + 1),
            "waiting_for": f"another try: {reason}, so the last one was given up",
        }
        services.store.due.rest(self.claim, due_in_ms=ms(delay), notes=notes, behind=True)
        services.store.counters.add(Counter.STEPS_STALLED)

    def _loss(self) -> LeaseLostError:
        return LeaseLostError(f"job {self.claim.job.id}: another process took over; nothing was written")
