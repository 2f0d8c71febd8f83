"""A connection that cannot be kept busy: every read of it is timed, counted and held to limits.

Time-outs of a socket start anew with every byte, and `http.client` reads heads,
interim answers, chunk sizes and trailers in loops of its own. A host that drips
bytes could hold a worker for ever, so the limits sit below, where bytes arrive.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, cast

from worker.errors import DownloadError
from worker.guard.addresses import Address
from worker.guard.urls import HTTPS_PORT, HttpsUrl

PIECE_BYTES = 128 * 1024
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

    def countdown(self, most_seconds: float) -> Callable[[], float]:
        """How long each wait may last of several that may last *most_seconds* together; `TimeoutError` at the end."""
        ends_at = self._clock() + self.allowance(most_seconds)

        def left() -> float:
            if (seconds := ends_at - self._clock()) <= 0:
                raise TimeoutError("timed out")
            return seconds

        return left

    def note(self, received_bytes: int) -> None:
        """Count what a wait brought; raises when it is too little."""
        self._waited_seconds += self._clock() - self._asked_at
        self._received_bytes += received_bytes
        if self._waited_seconds >= self._limits.rate_window_seconds:
            if self._received_bytes < self._waited_seconds * self._limits.least_bytes_per_second:
                raise DownloadError("slow", f"below {self._limits.least_bytes_per_second} bytes/s")
            self._waited_seconds, self._received_bytes = 0.0, 0

    def note_head(self, read_bytes: int) -> None:
        """Count what was read; raises when it is too much of a head."""
        if self._head_bytes is not None:
            self._head_bytes += read_bytes
            if self._head_bytes > self._limits.header_bytes:
                raise DownloadError("headers", f"the answer's head is over {self._limits.header_bytes} bytes")

    def stalled(self) -> DownloadError:
        """What a wait that brought nothing means."""
        self.allowance()
        return DownloadError("stalled", f"the host was silent for {self._limits.stall_seconds:g} s")

    def next_head(self) -> None:
        self._head_bytes = 0

    def head_done(self) -> None:
        self._head_bytes = None


class PacedTls:
    """A TLS connection whose every wait is timed, so no loop in `http.client` can be kept busy for ever.

    What comes is taken off the socket in large pieces. `ssl.SSLSocket` makes two system calls for each record of
    16 KiB, and with them a third of what a download costs.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, host: str, pace: Pace) -> None:
        self.pace = pace
        self._raw = raw
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._coming, self._going, server_hostname=host)
        self._piece = memoryview(bytearray(PIECE_BYTES))
        self._users = 1

    def shake_hands(self, most_seconds: float) -> None:
        """Verify the host; raises `OSError` when that fails or takes longer."""
        ends_in = self.pace.countdown(most_seconds)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._raw.settimeout(ends_in())
                self._take_in(self._raw.recv_into(self._piece))
        self._flush()

    def resume(self, pace: Pace) -> None:
        self.pace = pace
        self._raw.settimeout(pace.allowance())

    def sendall(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def makefile(self, *_: object) -> io.BufferedReader:
        """What comes, for `http.client`, which closes the connection before it has read the answer."""
        self._users += 1
        return io.BufferedReader(_Coming(self))

    def is_quiet(self) -> bool:
        """Whether nothing waits to be read: no bytes, and no end."""
        if self._tls.pending() or self._coming.pending:
            return False
        self._raw.settimeout(0)
        try:
            self._raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._raw.close()

    def read_into(self, buffer: memoryview) -> int:
        """Put what has come in *buffer*, once there is something; 0 at the end."""
        filled = 0
        while filled < len(buffer):
            try:
                filled += cast("int", self._tls.read(len(buffer) - filled, buffer[filled:]))
            except ssl.SSLWantReadError:
                if filled:
                    break
                self._wait()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # where the body must end is for others to know
                break
        self.pace.note_head(filled)
        return filled

    def _wait(self) -> None:
        self._flush()  # an answer to what the host asked of TLS
        allowance = self.pace.allowance()
        if allowance != self._raw.gettimeout():
            self._raw.settimeout(allowance)
        try:
            received = self._raw.recv_into(self._piece)
        except TimeoutError as err:
            raise self.pace.stalled() from err
        self.pace.note(received)
        self._take_in(received)

    def _take_in(self, received: int) -> None:
        if received:
            self._coming.write(self._piece[:received])
        else:
            self._coming.write_eof()

    def _flush(self) -> None:
        if self._going.pending:
            self._raw.sendall(self._going.read())


class _Coming(io.RawIOBase):
    """One reader of a connection."""

    def __init__(self, connection: PacedTls) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._connection.read_into(memoryview(buffer))

    def close(self) -> None:
        if not self.closed:
            self._connection.close()
        super().close()


class PinnedConnection(http.client.HTTPConnection):
    """HTTP over a socket that is already connected to *address*; it never opens another."""

    default_port = HTTPS_PORT
    auto_open = 0

    def __init__(self, url: HttpsUrl, address: Address, sock: PacedTls) -> None:
        super().__init__(url.host, url.port)
        self.sock: Any = sock
        self._place = (url.host, url.port)
        self._address = address

    def leads_to(self, host: str, port: int, addresses: Collection[Address]) -> bool:
        """Whether it is one to *host*, at one of *addresses*."""
        return self._place == (host, port) and self._address in addresses

    def is_quiet(self) -> bool:
        """Whether it is open, and nothing that nobody asked for came over it."""
        return self.sock is not None and self.sock.is_quiet()

    def resume(self, pace: Pace) -> None:
        """Hold what comes from now on to *pace*."""
        self.sock.resume(pace)


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
