"""Bounds on the work that one film may cause, whatever its tables announce, and the oddities met on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from worker.errors import NotAVideoError

MOST_ROWS = 4_000_000
"""Rows of all tables together: more than ten hours of film and sound."""

MOST_BOXES = 500_000
"""Boxes of all levels together: a film of one fragment a frame has some ten for each frame."""

MOST_CPU_SECONDS = 5.0
ROUND = 1024
"""The clock is looked at once in so many boxes."""


class Budget:
    """Counts the rows, boxes and CPU seconds that checking one film costs, and keeps what was odd about it.

    Every method raises `NotAVideoError("unchecked")` where a bound is passed: the film may be whole, but it is
    not found out here. *clock* tells seconds of CPU time of the calling thread; only what passes within a `with`
    block counts.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._rows = 0
        self._boxes = 0
        self._spent_seconds = 0.0
        self._began_at = 0.0
        self.notes: list[str] = []

    def __enter__(self) -> None:
        self._began_at = self._clock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spent_seconds += self._clock() - self._began_at

    def take_rows(self, count: int) -> None:
        """Count the rows of a table before they are read."""
        self._rows += count
        if self._rows > MOST_ROWS:
            raise NotAVideoError("unchecked", f"the film's tables have more than {MOST_ROWS} rows")
        self.look_at_clock()

    def take_box(self) -> None:
        """Count a box (an element, in Matroska) before it is read."""
        self._boxes += 1
        if self._boxes > MOST_BOXES:
            raise NotAVideoError("unchecked", f"the film has more than {MOST_BOXES} boxes")
        if self._boxes % ROUND == 0:
            self.look_at_clock()

    def look_at_clock(self) -> None:
        """End the check where it has taken too long."""
        if self._spent_seconds + self._clock() - self._began_at > MOST_CPU_SECONDS:
            raise NotAVideoError("unchecked", f"checking the film took over {MOST_CPU_SECONDS:g} s of CPU time")
