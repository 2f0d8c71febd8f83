"""How deliveries wait for the store together, so that a silent store is answered for in time.

Without it, each callback that comes while Redis hangs would open one more
connection and wait out the whole time-out behind all others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.errors import StoreError

PLACES = 64
"""Deliveries in the store at once, and so Redis connections, per process."""

WAIT_SECONDS = 5.0
"""How long a burst may queue for a place: half of what a provider waits."""

SILENT_SECONDS = 0.5
"""A failure that took this long was silence, not a refusal."""

SILENT = "Redis is silent, as another callback has just found out"


class Gate:
    """Lets *places* callers through at a time. While the store is silent one caller asks, the scout, for all."""

    def __init__(
        self,
        places: int = PLACES,
        *,
        wait_seconds: float = WAIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # no `threading.Semaphore`: under gevent, whoever gives a place back would let all others run first
        self._free = places
        self._queue: deque[threading.Lock] = deque()
        self._lock = threading.Lock()
        self._wait_seconds = wait_seconds
        self._monotonic = monotonic
        self._is_silent = False
        self._scouting = threading.Condition()
        self._is_scout_out = False
        self._scouts_back = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while asking the store; `StoreError` as soon as it is known to be silent."""
        is_scout = self._is_silent and self._scout_or_heed()
        try:
            self._enter()
            try:
                if self._is_silent and not is_scout:
                    raise StoreError(SILENT)
                began, failed = self._monotonic(), False
                try:
                    yield
                except StoreError:
                    failed = True
                    raise
                finally:
                    # a store that is silent falls silent for those, too, who have asked it only just now
                    self._is_silent = failed and (self._is_silent or self._monotonic() - began >= SILENT_SECONDS)
            finally:
                self._leave()
        finally:
            if is_scout:
                self._come_back()

    def _enter(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        try:
            has_come = turn.acquire(timeout=self._wait_seconds)
        except BaseException:  # gevent ends a request that takes too long wherever it waits
            if not self._unqueued(turn):
                self._leave()
            raise
        if not has_come and self._unqueued(turn):
            raise StoreError(f"no turn at Redis within {self._wait_seconds:g} s: it cannot take so many callbacks")

    def _unqueued(self, turn: threading.Lock) -> bool:
        """Take *turn* out of the queue; False when it has come just now, and with it the place."""
        with self._lock:
            if turn not in self._queue:
                return False
            self._queue.remove(turn)
            return True

    def _leave(self) -> None:
        """Hand the place to who has queued longest: nobody who comes later may overtake."""
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1

    def _scout_or_heed(self) -> bool:
        """Whether the caller is the scout; who is not waits for the scout's word while the store is silent."""
        with self._scouting:
            is_scout = self._is_silent and not self._is_scout_out
            if is_scout:
                self._is_scout_out = True
            elif self._is_silent:
                back = self._scouts_back
                self._scouting.wait_for(lambda: self._scouts_back > back, self._wait_seconds)
                if self._is_silent:
                    raise StoreError(SILENT)
            return is_scout

    def _come_back(self) -> None:
        with self._scouting:
            self._is_scout_out = False
            self._scouts_back += 1
            self._scouting.notify_all()
