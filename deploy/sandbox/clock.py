"""The sandbox's clock and schedule: wall time that the control plane can move on."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

Action = Callable[[], None]


class Clock:
    """Unix seconds; `advance` moves it forward and whoever waits on it wakes up."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._ahead_seconds = 0.0
        self.moved = threading.Condition()

    def now(self) -> float:
        return self._wall() + self._ahead_seconds

    def advance(self, seconds: float) -> float:
        """Move on by *seconds* (0 or more); returns the new time."""
        with self.moved:
            self._ahead_seconds += seconds
            self.moved.notify_all()
            return self.now()

    def reset(self) -> None:
        """Back to wall time."""
        with self.moved:
            self._ahead_seconds = 0.0
            self.moved.notify_all()


class Timetable:
    """Runs actions when the clock reaches their time, on one thread; actions must be short."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._entries: list[tuple[float, int, Action]] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sandbox-timetable", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._clock.moved:
            self._stopped = True
            self._clock.moved.notify_all()
        self._thread.join(timeout=5)

    def at(self, instant: float, action: Action) -> None:
        """Run *action* at *instant*; at once (on this thread) when that is not in the future."""
        if instant <= self._clock.now():
            action()
            return
        with self._clock.moved:
            heapq.heappush(self._entries, (instant, next(self._order), action))
            self._clock.moved.notify_all()

    def clear(self) -> None:
        with self._clock.moved:
            self._entries.clear()

    def _run(self) -> None:
        while (due := self._next_due()) is not None:
            for action in due:
                action()

    def _next_due(self) -> list[Action] | None:
        """Wait for due actions and return them in order; None once stopped."""
        with self._clock.moved:
            while not self._stopped:
                now = self._clock.now()
                if self._entries and self._entries[0][0] <= now:
                    return [heapq.heappop(self._entries)[2]]
                self._clock.moved.wait(self._entries[0][0] - now if self._entries else None)
        return None
