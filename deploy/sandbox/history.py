"""History of every call, callback delivery and download, in order. Bounded in entries and bytes."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

MOST_ENTRIES = 100_000
MOST_BODY_BYTES = 128 * 1024 * 1024
BODY_CHARACTERS = 16 * 1024
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})

Entry = dict[str, Any]


class History:
    """Append-only; the oldest entries are dropped when a bound is reached, their sequence numbers never reused."""

    def __init__(self, now: Callable[[], float], *, most_entries: int = MOST_ENTRIES) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sequence = itertools.count(1)
        self._most_entries = most_entries
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0

    def add(self, kind: str, *, size: int = 0, **fields: Any) -> Entry:
        """Write an entry down; *size* is what its body weighs. The returned dict may be given to `fill` later."""
        with self._lock:
            entry: Entry = {"sequence": next(self._sequence), "at": self._now(), "kind": kind, **fields}
            self._entries.append((entry, size))
            self._bytes += size
            while len(self._entries) > self._most_entries or self._bytes > MOST_BODY_BYTES:
                self._bytes -= self._entries.popleft()[1]
        return entry

    def fill(self, entry: Entry, **fields: Any) -> None:
        """Add what is known only later, such as the answer."""
        with self._lock:
            entry.update(fields)

    def read(
        self, *, since: int = 0, provider: str | None = None, request_id: str | None = None, kind: str | None = None
    ) -> list[Entry]:
        """Copies of the entries after sequence number *since* that match, oldest first."""
        wanted = {"provider": provider, "request_id": request_id, "kind": kind}
        conditions = [(name, value) for name, value in wanted.items() if value is not None]
        with self._lock:
            return [
                dict(entry)
                for entry, _ in self._entries
                if entry["sequence"] > since and all(entry.get(name) == value for name, value in conditions)
            ]

    def clear(self) -> None:
        """Forget everything; the sequence goes on."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "[redacted]" if name in SECRET_HEADERS else value for name, value in headers.items()}


def readable(body: bytes) -> Any:
    """A body for the history: JSON as JSON, other text as text, the long ones cut."""
    text = body[:BODY_CHARACTERS].decode(errors="replace")
    if len(body) > BODY_CHARACTERS:
        return f"{text[:1024]}... [{len(body)} bytes]"
    try:
        return json.loads(text)
    except ValueError:
        return text or None
