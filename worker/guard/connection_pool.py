"""Connections that a download left in good order, for the next one from the same host.

A TLS handshake costs either side as much CPU time as all else that a small
video needs, and the videos of a burst lie on a few hosts. A connection is kept
for seconds, and is given only to who would be let connect to its very address.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass

from worker.guard.addresses import Address
from worker.guard.connection import PinnedConnection

KEPT_SECONDS = 4.0
"""Few servers close an idle connection sooner; one that was closed is noticed."""

MOST_KEPT = 8


@dataclass(frozen=True)
class _Idle:
    connection: PinnedConnection
    since: float


class KeptConnections:
    """Threads may share it. What is left when nobody holds it any more is closed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []
        weakref.finalize(self, _close_all, self._idle)

    def take(self, host: str, port: int, addresses: Collection[Address]) -> PinnedConnection | None:
        """A connection to the *host* at one of *addresses* that is still good."""
        while True:
            with self._lock:
                self._drop_old()
                found = next((idle for idle in self._idle if idle.connection.leads_to(host, port, addresses)), None)
                if found is None:
                    return None
                self._idle.remove(found)
            if found.connection.is_quiet():
                return found.connection
            found.connection.close()

    def put(self, connection: PinnedConnection) -> None:
        """Keep a *connection* whose last answer was read to its end."""
        with self._lock:
            self._idle.append(_Idle(connection, self._clock()))
            self._drop_old()

    def _drop_old(self) -> None:
        oldest = self._clock() - KEPT_SECONDS
        while self._idle and (len(self._idle) > MOST_KEPT or self._idle[0].since < oldest):
            self._idle.pop(0).connection.close()


def _close_all(idle: list[_Idle]) -> None:
    for one in idle:
        one.connection.close()
