"""Reads shared by those who ask for the same at the same time: a job that 200 wait for is read once or twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Read(Generic[T]):
    """A read that has not begun: whoever comes before it begins shares it."""

    is_over: threading.Event = field(default_factory=threading.Event)
    found: T | None = None
    error: Exception | None = None


@dataclass(eq=False)
class _Turns(Generic[T]):
    """The reads of one name, one after the other."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    next: _Read[T] | None = None
    callers: int = 0


class SharedReads(Generic[T]):
    """Calls *read* for each name, once at a time; no caller is answered by a read that began before he asked."""

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read
        self._names: dict[str, _Turns[T]] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> T:
        """The answer of *read*, as of now; raises what it raises."""
        with self._lock:
            turns = self._names.setdefault(name, _Turns())
            turns.callers += 1
            read, is_first = turns.next, turns.next is None
            if read is None:
                read = turns.next = _Read()
        try:
            if is_first:
                self._lead(name, turns, read)
            else:
                read.is_over.wait()
        finally:
            with self._lock:
                turns.callers -= 1
                if not turns.callers:
                    del self._names[name]
        if read.error is not None:
            raise read.error
        return read.found  # type: ignore[return-value]

    def _lead(self, name: str, turns: _Turns[T], read: _Read[T]) -> None:
        with turns.turn:
            with self._lock:
                turns.next = None  # who comes from here on wants a later one
            try:
                read.found = self._read(name)
            except Exception as err:  # noqa: BLE001  told to each who shares it
                read.error = err
            finally:
                read.is_over.set()
