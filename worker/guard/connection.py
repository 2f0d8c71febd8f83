"""A connection with a deadline, a least rate and size limits.

The time-out of a socket starts anew with every byte, so a host that drips bytes could hold a worker for ever.
The limits therefore sit below every parser, where bytes arrive; and a watchdog in a thread of its own shuts the
socket down when a call lasts longer than the limits allow, whatever loops above it.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from worker.errors import DownloadError


@dataclass(frozen=True)
class Limits:
    """The bounds of one download. Time spent on our side of the chunks counts only for `total_seconds`."""

    max_bytes: int = 2 * 1024**3
    total_seconds: float = 2 * 1024**3 / (32 * 1024)  # the largest size at the least rate: 18 h
    connect_seconds: float = 10.0
    stall_seconds: float = 20.0
    least_bytes_per_second: int = 32 * 1024
    rate_window_seconds: float = 20.0
    header_bytes: int = 64 * 1024

    @property
    def call_seconds(self) -> float:
        """The longest that one exchange of heads or one read of a chunk can take while all other limits hold."""
        return 2 * (self.connect_seconds + self.stall_seconds + self.rate_window_seconds)


class Watchdog:
    """Shuts a download's socket down at the deadline, or once one call into it lasts longer than *call_seconds*.

    A `with` block around the download; it costs one thread that wakes once in *call_seconds*.
    """

    def __init__(
        self, *, total_seconds: float, call_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._call_seconds = call_seconds
        self._ends_at = clock() + total_seconds
        self._call_began: float | None = None
        self._socket: socket.socket | None = None
        self._has_bitten = False
        self._lock = threading.Lock()  # a descriptor that was closed may be another's: never shut it down
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="download-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def guard(self, sock: socket.socket) -> None:
        """Watch *sock* from now on, in place of any other."""
        with self._lock:
            self._socket = sock
        self.check()

    def close(self, sock: socket.socket) -> None:
        """Close *sock* and watch it no more."""
        with self._lock:
            if self._socket is sock:
                self._socket = None
            sock.close()

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call that waits for the host, and nothing else; raises `DownloadError("timeout")` if it was cut off."""
        self._call_began = self._clock()
        try:
            yield
        finally:
            self._call_began = None
        self.check()

    def check(self) -> None:
        """Raise `DownloadError("timeout")` once the socket was shut down."""
        if self._has_bitten:
            raise DownloadError("timeout", "it lasted longer than its limits allow")

    def _watch(self) -> None:
        while not self._is_over.wait(max(0.0, self._due_at() - self._clock())):
            if self._due_at() <= self._clock():
                self._bite()
                return

    def _due_at(self) -> float:
        """When to look next: no call that is still to begin can be overdue sooner."""
        began = self._call_began
        return min(self._ends_at, (self._clock() if began is None else began) + self._call_seconds)

    def _bite(self) -> None:
        with self._lock:
            self._has_bitten = True
            if self._socket is not None:
                try:
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # an SSLSocket's own forgets its TLS
                except OSError:
                    return  # not connected any more


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
        """The longest time of the next wait, seconds; raises when the time is used up."""
        self._asked_at = self._clock()
        left = self._ends_at - self._asked_at
        if left <= 0:
            raise DownloadError("timeout", f"not done within {self._limits.total_seconds:g} s")
        return min(left, self._limits.stall_seconds if most_seconds is None else most_seconds)

    def note(self, received_bytes: int) -> None:
        """Count the bytes of one wait; raises when the rate is too low or a head too long."""
        self._waited_seconds += self._clock() - self._asked_at
        self._received_bytes += received_bytes
        if self._waited_seconds >= self._limits.rate_window_seconds:
            if self._received_bytes < self._waited_seconds * self._limits.least_bytes_per_second:
                raise DownloadError("slow", f"below {self._limits.least_bytes_per_second} bytes/s")
            self._waited_seconds, self._received_bytes = 0.0, 0
        if self._head_bytes is not None:
            self._head_bytes += received_bytes
            if self._head_bytes > self._limits.header_bytes:
                raise DownloadError("headers", f"the answer's head is over {self._limits.header_bytes} bytes")

    def stalled(self) -> DownloadError:
        """The error of a wait that brought nothing."""
        self.allowance()
        return DownloadError("stalled", f"the host was silent for {self._limits.stall_seconds:g} s")

    def next_head(self) -> None:
        """Count what comes from now on as a head."""
        self._head_bytes = 0

    def head_done(self) -> None:
        """Count what comes from now on as a body."""
        self._head_bytes = None


class Connection:
    """The bytes of a connection, each wait for them timed and counted.

    A TLS socket must be made with `suppress_ragged_eofs=False`: only then a connection that just ends can be told from
    one that ended in order.
    """

    def __init__(self, sock: socket.socket, pace: Pace, watchdog: Watchdog) -> None:
        self._socket = sock
        self._pace = pace
        self._watchdog = watchdog
        self._arriving = _Arriving(sock, pace, watchdog)
        self._buffer = io.BufferedReader(self._arriving)

    @property
    def ended_in_order(self) -> bool:
        """Whether the host said that no more will come (TLS close_notify)."""
        return self._arriving.ended_in_order

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        self._socket.settimeout(self._pace.allowance())
        self._socket.sendall(data)

    def read(self, most_bytes: int) -> bytes:
        """The next bytes, *most_bytes* unless the end or a failure comes before; none at the end.

        Raises `OSError` or `DownloadError`, but only once all that came before has been read.
        """
        data = self._buffer.read(most_bytes)
        if not data:
            self._arriving.raise_failure()
        return data

    def line(self, most_bytes: int) -> bytes:
        """The next line with its end, or as much of it as there is or may be; raises as `read` does."""
        line = self._buffer.readline(most_bytes)
        if not line.endswith(b"\n"):
            self._arriving.raise_failure()
        return line

    def close(self) -> None:
        """Close the socket."""
        self._watchdog.close(self._socket)


class _Arriving(io.RawIOBase):
    """The bytes as they arrive, for a `BufferedReader`, which would forget those before a failure: it sees an end."""

    def __init__(self, sock: socket.socket, pace: Pace, watchdog: Watchdog) -> None:
        super().__init__()
        self._socket = sock
        self._pace = pace
        self._watchdog = watchdog
        self._failure: OSError | DownloadError | None = None
        self._has_ended = False
        self.ended_in_order = False

    def readable(self) -> bool:
        return True

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def readinto(self, buffer: Any) -> int:
        if self._has_ended:
            return 0
        try:
            received = self._wait(buffer)
        except (OSError, DownloadError) as err:
            self._failure, received = err, 0
        self._has_ended = not received
        return received

    def _wait(self, buffer: Any) -> int:
        allowance = self._pace.allowance()
        if allowance != self._socket.gettimeout():
            self._socket.settimeout(allowance)
        try:
            received = self._socket.recv_into(buffer)
            self.ended_in_order = not received
        except ssl.SSLEOFError:
            received = 0
        except TimeoutError as err:
            raise self._pace.stalled() from err
        self._watchdog.check()
        self._pace.note(received)
        return received
