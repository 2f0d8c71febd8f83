"""A load of HTTP requests over kept connections, from one thread: what `wrk` does, without being installed."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from tests.benchmarks.figures import percentile


@dataclass
class Load:
    """The outcome of a drive. Latencies are seconds from the send to the whole answer."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all that took part, where somebody counts it

    @property
    def cpu_us(self) -> float:
        """CPU time per answer."""
        return 1e6 * self.cpu_seconds / max(1, self.statuses.get(200, 0))

    @property
    def per_second(self) -> float:
        return self.statuses.get(200, 0) / self.seconds

    def ms(self, percent: float) -> float:
        return 1000 * percentile(self.latencies or [0.0], percent)


class _Client:
    """One connection: a request under way, or none."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.socket = self._connect()
        self.is_ended = False
        self.received = b""
        self.sent_at = 0.0

    def _connect(self) -> socket.socket:
        made = socket.create_connection(self._address, timeout=10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def send(self, request: bytes) -> None:
        self.received, self.sent_at = b"", time.perf_counter()
        if self.is_ended:
            # not before there is something to send: a sync worker that takes an idle connection serves nobody else
            self.socket, self.is_ended = self._connect(), False
        self.socket.sendall(request)

    def status(self) -> int | None:
        """Read; the status once the answer is whole. 0: the connection was lost.

        A server that keeps no connections costs a new one, as it would cost anybody.
        """
        data = self.socket.recv(65536)
        if not data:
            self.is_ended = True
            return 0
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return None
        self.is_ended = b"connection: close" in head.lower()
        return int(head[9:12])

    def rest(self) -> None:
        """Hang up where the server wants it: gunicorn's sync workers wait for that."""
        if self.is_ended:
            self.socket.close()


def drive(
    address: tuple[str, int],
    requests: Sequence[bytes],
    connections: int,
    *,
    seconds: float,
    per_second: float | None = None,
) -> Load:
    """Send *requests*, each once and in order, over *connections*, for at most *seconds*.

    Flat out, or *per_second* at even distances: a late answer delays no other while a connection is idle.
    """
    load, queue = Load(), iter(requests)
    clients = [_Client(address) for _ in range(min(connections, len(requests)))]
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        pace = _Pace(began, per_second)
        idle, busy = list(clients), 0
        is_open = True
        while is_open or busy:
            now = time.perf_counter()
            is_open = is_open and now - began < seconds
            for request in islice(queue, 0 if not is_open else pace.room(now, len(idle))):
                client = idle.pop()
                client.send(request)
                selector.register(client.socket, selectors.EVENT_READ, client)
                busy += 1
            if is_open and not busy and len(load.latencies) >= len(requests):
                break
            for key, _ in selector.select(0.001 if per_second else 1.0 if busy else 0):
                client = key.data
                status = client.status()
                if status is None:
                    continue
                selector.unregister(key.fileobj)
                client.rest()
                load.latencies.append(time.perf_counter() - client.sent_at)
                load.statuses[status] = load.statuses.get(status, 0) + 1
                idle.append(client)
                busy -= 1
        load.seconds = time.perf_counter() - began
    for client in clients:
        client.socket.close()
    return load


@dataclass
class _Pace:
    """The number of requests that may leave: as many as there are idle connections, or by the clock."""

    began: float
    per_second: float | None
    sent: int = 0

    def room(self, now: float, idle: int) -> int:
        if self.per_second is None:
            return idle
        room = max(0, min(idle, int((now - self.began) * self.per_second) - self.sent))
        self.sent += room
        return room


def post(path: str, body: bytes) -> bytes:
    """A callback as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: callsheet.example.com\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def cycle(requests: Sequence[bytes], count: int) -> Sequence[bytes]:
    """*count* requests out of few."""
    return [requests[n % len(requests)] for n in range(count)]
