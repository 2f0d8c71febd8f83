"""Bulkhead of the steps that copy videos: how many jobs one process works on at once, and which.

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
from functools import partial
from typing import Protocol

from worker.errors import CallsheetError
from worker.logs import bound
from worker.services import Services
from worker.steps import Step, archive, batch
from worker.steps.archive import Turn

log = logging.getLogger(__name__)

EXPRESS_PLACES, OPEN_PLACES = 2, 2
"""Of one process. Each copy may hold parts of a video in memory."""

Publish = Callable[[Step, Sequence[str]], None]


class Take(Protocol):
    """Works on the next job for a place of that kind; None when there is none."""

    def __call__(self, *, is_express: bool, on_stall: Callable[[], object]) -> Turn | None: ...


def archive_places(services: Services, publish: Publish) -> Places:
    """The places for the most urgent videos there are."""
    return Places(
        Step.ARCHIVE, partial(archive.run, services), services, publish, express=EXPRESS_PLACES, others=OPEN_PLACES
    )


class Places:
    """The places of one process for one step, each a thread while there is something to do."""

    def __init__(
        self, step: Step, take: Take, services: Services, publish: Publish, *, express: int, others: int
    ) -> None:
        self.step = step
        self._take = take
        self._services = services
        self._publish = publish
        self._counts = ((True, express), (False, others))
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
        for is_express, most in self._counts:
            for _ in range(most - self._busy[is_express]):
                self._busy[is_express] += 1
                started += 1
                name = f"{self.step}-express" if is_express else str(self.step)
                threading.Thread(target=_Place(self, is_express).serve, name=name, daemon=True).start()
        return started

    def turn(self, *, is_express: bool, on_stall: Callable[[], object]) -> bool:
        """Work on one job and deliver its result; whether there was a job."""
        with bound(step=self.step):
            turn = self._take(is_express=is_express, on_stall=on_stall)
        if turn is None:
            return False
        following = batch.follow(turn.following, turn.job_id, self._services)
        if following is not None:
            self._publish(following, [turn.job_id])
        return True

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
        """Work until there is nothing left to do."""
        try:
            while not self._has_left and self._places.turn(is_express=self._is_express, on_stall=self.leave):
                pass
        except CallsheetError as err:
            log.error("step.postponed", extra={"step": self._places.step, "reason": str(err)})
        except Exception:  # a defect ends a place's thread, never the place
            log.exception("step.broke", extra={"step": self._places.step})
        finally:
            self.leave()

    def leave(self) -> None:
        """Free the place, once."""
        with self._lock:
            has_left, self._has_left = self._has_left, True
        if not has_left:
            self._places.leave(is_express=self._is_express)
