"""A bulkhead and a circuit breaker between callbacks and the store.

The bulkhead lets so many callbacks into the store at once. Without the breaker, each callback that comes while Redis
hangs would open one more connection and wait out the whole time-out behind all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gevent import Timeout
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from worker.errors import StoreError

PLACES = 64
"""Callbacks in the store at once, and so Redis connections, per process."""

WAIT_SECONDS = 5.0
"""The longest time that a burst may queue for a place: half of a provider's patience."""

SILENT_SECONDS = 0.5
"""A failure that took this long was silence, not a refusal."""

ANSWER_SECONDS = 1.8
"""The end of every wait for the store, so that a provider has its answer in two seconds: a Redis that answers each
command only just in time takes several to be connected to."""

SILENT = "Redis is silent, as another callback has just found out"


class Overload:
    """Lets *places* callers into the store at a time. While the store is silent the breaker is half open: one caller
    probes the store, the others wait for its result."""

    def __init__(
        self,
        places: int = PLACES,
        *,
        wait_seconds: float = WAIT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = BoundedSemaphore(places)
        self._wait_seconds = wait_seconds
        self._monotonic = monotonic
        self._is_silent = False
        self._probe: Event | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place while asking the store; `StoreError` as soon as it is known to be silent."""
        if self._is_silent and self._probe is not None:
            self._probe.wait(self._wait_seconds)
            if self._is_silent:
                raise StoreError(SILENT)
        probe = Event() if self._is_silent else None
        if probe is not None:
            self._probe = probe
        try:
            if not self._places.acquire(timeout=self._wait_seconds):
                raise StoreError(f"no place at Redis within {self._wait_seconds:g} s: it cannot take so many callbacks")
            try:
                if self._is_silent and probe is None:
                    raise StoreError(SILENT)
                yield from self._watched()
            finally:
                self._places.release()
        finally:
            if probe is not None:
                self._probe = None
                probe.set()

    def _watched(self) -> Iterator[None]:
        began, has_failed = self._monotonic(), False
        try:
            with Timeout(ANSWER_SECONDS, StoreError(f"no answer from Redis within {ANSWER_SECONDS:g} s")):
                yield
        except StoreError:
            has_failed = True
            raise
        finally:
            # a store that is silent falls silent for those, too, who have asked it only just now
            self._is_silent = has_failed and (self._is_silent or self._monotonic() - began >= SILENT_SECONDS)
