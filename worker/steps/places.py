"""Bulkhead of the archive step: how many videos one process copies at once, and which.

A copy may last for hours, so it holds no slot of Celery's: it runs in a thread of
its own, and a message only makes sure that all places are at work. Half of the
places are express: they take only videos that nobody has tried to copy, and cut
a download that lasts too long. So bad and slow ones, however many there are,
never hold more than the other half.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from worker.errors import CallsheetError
from worker.logs import bound
from worker.services import Services
from worker.steps import Step, archive, batch

log = logging.getLogger(__name__)

EXPRESS_PLACES, OPEN_PLACES = 2, 2
"""Of one process. Each copy may hold parts of a video in memory."""

Publish = Callable[[Step, Sequence[str]], None]


class Places:
    """The places of one process, each a thread while there is something to copy."""

    def __init__(self, services: Services, publish: Publish) -> None:
        self._services = services
        self._publish = publish
        self._changed = threading.Condition()
        self._busy: Counter[bool] = Counter()  # by whether they are express

    def work(self, wait_seconds: float) -> bool:
        """Have all places look for work; wait for those that were started, at most *wait_seconds*.

        Returns whether all are idle: one that copies a long video goes on by itself.
        """
        with self._changed:
            idle = self._start_idle()
            if idle:
                self._changed.wait_for(lambda: not self._busy.total(), wait_seconds)
            return not self._busy.total()

    def _start_idle(self) -> int:
        started = 0
        for is_express, most in ((True, EXPRESS_PLACES), (False, OPEN_PLACES)):
            for _ in range(most - self._busy[is_express]):
                self._busy[is_express] += 1
                started += 1
                name = "archive-express" if is_express else "archive"
                threading.Thread(target=_Place(self, is_express).serve, name=name, daemon=True).start()
        return started

    def turn(self, *, is_express: bool, on_stall: Callable[[], object]) -> bool:
        """Copy one job's videos and deliver its result; whether there was a job."""
        with bound(step=Step.ARCHIVE):
            turn = archive.run(self._services, is_express=is_express, on_stall=on_stall)
        if turn is not None and turn.following is not None:
            for job_id, following in batch.take(turn.following, [turn.job_id], self._services).items():
                self._publish(following, [job_id])
        return turn is not None

    def leave(self, *, is_express: bool) -> None:
        """A place is free again."""
        with self._changed:
            self._busy[is_express] -= 1
            self._changed.notify_all()


class _Place:
    """One thread's stay in a place. One that hangs is given up: the place is free for another thread."""

    def __init__(self, places: Places, is_express: bool) -> None:
        self._places = places
        self._is_express = is_express
        self._lock = threading.Lock()
        self._has_left = False

    def serve(self) -> None:
        """Copy until there is nothing left to copy."""
        try:
            while not self._has_left and self._places.turn(is_express=self._is_express, on_stall=self.leave):
                pass
        except CallsheetError as err:
            log.error("step.postponed", extra={"step": Step.ARCHIVE, "reason": str(err)})
        except Exception:  # a defect ends a place's thread, never the place
            log.exception("step.broke", extra={"step": Step.ARCHIVE})
        finally:
            self.leave()

    def leave(self) -> None:
        """Free the place, once."""
        with self._lock:
            has_left, self._has_left = self._has_left, True
        if not has_left:
            self._places.leave(is_express=self._is_express)
