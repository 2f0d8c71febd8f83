"""A clock that tests move; its `now` is seconds."""

from __future__ import annotations


class Clock:
    """The seconds that code under test is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
