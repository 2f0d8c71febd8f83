"""A TCP proxy for one server, whose line can be cut, frozen, refused or lose what comes back."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from deploy.local.ports import LOOPBACK, free_port

PIECE_BYTES = 64 * 1024
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset."""


class Wire:
    """Listens on `port` and speaks to the loopback port that *target* tells.

    `refuse` closes the door, `freeze` lets nothing through though all stay
    connected (half-open), `blackhole` does so to new connections only, `reset`
    breaks what is connected, `half_open` silences it, `lose_answers` lets requests
    through and resets where an answer comes; `mend` undoes all of it.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        self.port = free_port()
        self._target = target
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._swallows_new = False
        self._answers_to_lose = 0
        self._elsewhere = 0
        self._asleep: set[tuple[socket.socket, socket.socket]] = set()

    def refuse(self) -> None:
        """Stop listening, and cut every connection."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def freeze(self) -> None:
        """Nothing goes through, and nobody is told."""
        self._flowing.clear()

    def half_open(self) -> None:
        """Freeze the present connections: they stay and carry nothing any more; new ones work."""
        with self._lock:
            self._asleep |= self._pairs

    def lead_to(self, port: int) -> None:
        """New connections reach another server of the loopback."""
        self._elsewhere = port

    def blackhole(self) -> None:
        self._swallows_new = True

    def reset(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                _reset(end)

    def lose_answers(self, count: int = 1) -> None:
        """The next *count* answers are lost: what was asked has been done, and the asker sees a reset."""
        self._answers_to_lose = count

    def mend(self) -> None:
        self._swallows_new, self._answers_to_lose, self._elsewhere = False, 0, 0
        self._wake_up()
        self._flowing.set()
        if self._listener is None:
            self._listen()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._flowing.set()
        self._wake_up()
        self.refuse()

    def _wake_up(self) -> None:
        """End the connections that carry nothing."""
        with self._lock:
            asleep, self._asleep = self._asleep, set()
        for pair in asleep:
            for end in pair:
                _reset(end)

    def _listen(self) -> None:
        listener = socket.create_server((LOOPBACK, self.port), backlog=256)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name=f"wire-{self.port}", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        if self._swallows_new:
            with self._lock:
                self._pairs.add((client, client))
            return
        try:
            server = socket.create_connection((LOOPBACK, self._elsewhere or self._target()), timeout=5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._pump, args=(server, client, pair, True), daemon=True)
        back.start()
        self._pump(client, server, pair, False)

    def _pump(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket], is_answer: bool
    ) -> None:
        try:
            while piece := source.recv(PIECE_BYTES):
                self._flowing.wait()
                if pair in self._asleep:
                    return
                if is_answer and self._takes_answer():
                    break
                sink.sendall(piece)
        except OSError:
            pass
        with self._lock:
            self._pairs.discard(pair)
        for end in pair:
            _reset(end)

    def _takes_answer(self) -> bool:
        with self._lock:
            is_lost = self._answers_to_lose > 0
            self._answers_to_lose -= is_lost
            return is_lost


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
