"""A connection that cannot be kept busy: every read of it is timed, counted and held to limits.

Time-outs of a socket start anew with every byte, and `http.client` reads heads,
interim answers, chunk sizes and trailers in loops of its own. A host that drips
bytes could hold a worker for ever, so the limits sit below, where bytes arrive.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.errors import DownloadError
from worker.links import HTTPS_PORT, HttpsUrl

LONGEST_SIZE_LINE = 256
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?\r\n")


@dataclass(frozen=True)
class Limits:
    """What one download may cost. Time that we spend on our side of the chunks counts only for `total_seconds`."""

    max_bytes: int = 2 * 1024**3
    total_seconds: float = 480.0  # less than the archive task's own limit
    connect_seconds: float = 10.0
    stall_seconds: float = 20.0
    least_bytes_per_second: int = 32 * 1024
    rate_window_seconds: float = 20.0
    header_bytes: int = 64 * 1024


class Pace:
    """Holds one download to its limits, read by read: deadline, silence, rate, size of the head."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._ends_at = clock() + limits.total_seconds
        self._asked_at = 0.0
        self._waited_seconds = 0.0
        self._received_bytes = 0
        self._head_bytes: int | None = 0

    def allowance(self, most_seconds: float | None = None) -> float:
        """How long the next wait may last; raises when the time is used up."""
        self._asked_at = self._clock()
        left = self._ends_at - self._asked_at
        if left <= 0:
            raise DownloadError("timeout", f"not done within {self._limits.total_seconds:g} s")
        return min(left, self._limits.stall_seconds if most_seconds is None else most_seconds)

    def note(self, received_bytes: int) -> None:
        """Count what a wait brought; raises when it is too little, or too much of a head."""
        self._waited_seconds += self._clock() - self._asked_at
        self._received_bytes += received_bytes
        if self._head_bytes is not None:
            self._head_bytes += received_bytes
            if self._head_bytes > self._limits.header_bytes:
                raise DownloadError("headers", f"the answer's head is over {self._limits.header_bytes} bytes")
        if self._waited_seconds >= self._limits.rate_window_seconds:
            if self._received_bytes < self._waited_seconds * self._limits.least_bytes_per_second:
                raise DownloadError("slow", f"below {self._limits.least_bytes_per_second} bytes/s")
            self._waited_seconds, self._received_bytes = 0.0, 0

    def stalled(self) -> DownloadError:
        """What a wait that brought nothing means."""
        self.allowance()
        return DownloadError("stalled", f"the host was silent for {self._limits.stall_seconds:g} s")

    def next_head(self) -> None:
        self._head_bytes = 0

    def head_done(self) -> None:
        self._head_bytes = None


class PacedSocket(ssl.SSLSocket):
    """A TLS socket whose every read is timed, so no loop in `http.client` can be kept busy for ever."""

    pace: Pace

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        allowance = self.pace.allowance()
        if allowance != self.gettimeout():
            self.settimeout(allowance)
        try:
            received = super().recv_into(buffer, nbytes, flags)
        except TimeoutError as err:
            raise self.pace.stalled() from err
        self.pace.note(received)
        return received


class PinnedConnection(http.client.HTTPConnection):
    """HTTP over a socket that is already connected; it never opens another."""

    default_port = HTTPS_PORT
    auto_open = 0

    def __init__(self, url: HttpsUrl, sock: PacedSocket) -> None:
        super().__init__(url.host, url.port)
        self.sock = sock


class ChunkedBody:
    """A chunked body [RFC 9112 7.1]; `http.client` would read a chunk of size -1 into memory to the end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._source = response.fp
        self._left: int | None = 0  # of the present chunk; None behind the last one

    def read(self, most_bytes: int) -> bytes:
        """The next bytes, at most so many; none at the end. Trailers are left unread."""
        if self._left == 0:
            self._left = self._next_size() or None
        if self._left is None:
            return b""
        data = self._source.read(min(most_bytes, self._left))
        self._left -= len(data)
        if not data or (self._left == 0 and self._source.read(2) != b"\r\n"):
            raise DownloadError("truncated", "the body ends inside a chunk")
        return data

    def _next_size(self) -> int:
        line = self._source.readline(LONGEST_SIZE_LINE)
        found = SIZE_LINE.fullmatch(line)
        if found is None:
            raise DownloadError("protocol" if line.endswith(b"\n") else "truncated", "a chunk has no readable size")
        return int(found[1], 16)
