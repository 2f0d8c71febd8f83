"""Ctrl-C once is a wish, twice is a hurry."""

from __future__ import annotations

import signal
import time
from typing import Any, Self

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.2


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP are counted instead of ending the process."""

    def __init__(self) -> None:
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def asked(self) -> bool:
        """True once somebody asked to stop."""
        return self._count >= 1

    def hurried(self) -> bool:
        """True once somebody asked again."""
        return self._count >= 2

    def wait(self) -> None:
        """Return when somebody asks to stop."""
        while not self.asked():
            time.sleep(LOOK_SECONDS)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in STOPPING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self._count += 1
