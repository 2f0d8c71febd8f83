"""How deliveries wait for the store together, so that a silent store is answered for in time.

Without it, each callback that comes while Redis hangs would open one more
connection and wait out the whole time-out behind all others.
"""

from __future__ import annotations

import threading
import time
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
        self._places = threading.BoundedSemaphore(places)
        self._wait_seconds = wait_seconds
        self._monotonic = monotonic
        self._is_silent = False
        self._scouting = threading.Condition()
        self._is_scout_out = False
        self._scouts_back = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while asking the store; `StoreError` as soon as it is known to be silent."""
        with self._scout_or_heed() as is_scout:
            if not self._places.acquire(timeout=self._wait_seconds):
                raise StoreError(f"no turn at Redis within {self._wait_seconds:g} s: it cannot take so many callbacks")
            try:
                if self._is_silent and not is_scout:
                    raise StoreError(SILENT)
                with self._learning():
                    yield
            finally:
                self._places.release()

    @contextmanager
    def _scout_or_heed(self) -> Iterator[bool]:
        """Whether the caller is the scout; who is not waits for the scout's word while the store is silent."""
        was_silent = self._is_silent
        if not was_silent:
            yield False
            return
        with self._scouting:
            is_scout = self._is_silent and not self._is_scout_out
            if is_scout:
                self._is_scout_out = True
            elif self._is_silent:
                back = self._scouts_back
                self._scouting.wait_for(lambda: self._scouts_back > back, self._wait_seconds)
                if self._is_silent:
                    raise StoreError(SILENT)
        try:
            yield is_scout
        finally:
            if is_scout:
                with self._scouting:
                    self._is_scout_out = False
                    self._scouts_back += 1
                    self._scouting.notify_all()

    @contextmanager
    def _learning(self) -> Iterator[None]:
        began, failed = self._monotonic(), False
        try:
            yield
        except StoreError:
            failed = True
            raise
        finally:
            # a store that is silent falls silent for those, too, who have asked it only just now
            self._is_silent = failed and (self._is_silent or self._monotonic() - began >= SILENT_SECONDS)
