"""The heartbeat of this process: a sign in Redis every few seconds by which operators see that it lives.

It is given from where the work is done (Celery's event loop, beat's tick, gevent's loop), so that a process that is
frozen or hangs gives none. Redis that does not answer is no matter: the next sign comes soon.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from worker.errors import StoreError
from worker.store import Store

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
STORE_TIMEOUT_SECONDS = 1.0
"""The longest time that a silent Redis may hold up the process that gives a sign."""


class Heart:
    """Gives the signs of this process in the roles *kinds*; *store* is opened with the first."""

    def __init__(
        self, kinds: Collection[str], store: Callable[[], Store], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._kinds = tuple(kinds)
        self._open = store
        self._store: Store | None = None
        self._monotonic = monotonic
        self._started_at: int | None = None
        self._next = float("-inf")

    def beat(self) -> None:
        """Give a sign, unless the last is younger than BEAT_SECONDS."""
        if self._monotonic() < self._next:
            return
        self._next = self._monotonic() + BEAT_SECONDS
        try:
            self._store = self._store or self._open()
            now = self._store.heartbeats.beat(
                self._kinds, host=_host(), pid=os.getpid(), version=version_of_ours(), started_at=self._started_at
            )
        except StoreError as err:
            log.warning("heartbeat.missed", extra={"reason": str(err)})
            return
        self._started_at = self._started_at or now

    def stop(self) -> None:
        """Take the signs back: this process ends in order."""
        if self._store is not None and self._started_at is not None:
            try:
                self._store.heartbeats.end(self._kinds, host=_host(), pid=os.getpid())
            except StoreError as err:
                log.warning("heartbeat.missed", extra={"reason": str(err)})

    def start_thread(self) -> None:
        """Give signs from a thread of its own; under gevent that is a greenlet, which a loop that hangs holds up."""
        threading.Thread(target=self._beat_for_ever, name="heartbeat", daemon=True).start()

    def _beat_for_ever(self) -> None:
        while True:
            self.beat()
            time.sleep(BEAT_SECONDS)


@cache
def version_of_ours() -> str:
    try:
        return version("callsheet")
    except PackageNotFoundError:  # run from a copy of the source
        return "unknown"


@cache
def _host() -> str:
    return socket.gethostname()
