"""Bounded, coalescing publisher thread: nudges steps without a caller that waits for the broker.

One daemon thread per process and step sends the job ids that have come together
since its last message. Nothing here may be relied on: a job whose nudge is
dropped is due already, and the sweep finds it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from itertools import islice

from worker.errors import BrokerError

log = logging.getLogger(__name__)

CAPACITY = 10_000
"""Job ids that may wait for the broker: about 1 MB."""

BATCH = 100
"""Job ids in one message."""

GATHER_SECONDS = 0.01
MOST_GATHER_SECONDS = 0.05
"""Rest after a message, longer the more it held: what comes in a crowd goes in few, one that comes alone goes at once.
A message costs as much as a callback."""

PAUSE_SECONDS = 1.0
"""Rest after a failed send, so that a broker that is down costs next to nothing."""


class Publisher:
    """Sends nudges in the background, the waiting ones together.

    *send* gets at most *batch* job ids and raises `BrokerError` when the broker
    did not take them; it is only ever called from the publisher's own thread.
    """

    def __init__(
        self,
        send: Callable[[Sequence[str]], None],
        *,
        batch: int = BATCH,
        gather_seconds: float = GATHER_SECONDS,
        capacity: int = CAPACITY,
    ) -> None:
        self._send = send
        self._batch = batch
        self._gather_seconds = gather_seconds
        self._capacity = capacity
        self._changed = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._thread: threading.Thread | None = None
        self._sender = 0  # the process whose thread that is; none survives the fork that makes a worker
        self._closing = False
        self.state = "unused"  # then "up" or "down", as the last message went
        self.dropped = 0

    def nudge(self, job_id: str) -> None:
        """Have *job_id*'s step started soon. Takes microseconds, never raises, never waits."""
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self.dropped += 1
                return
            self._waiting[job_id] = None
            self._ensure_thread()
            self._changed.notify()

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Send what waits, for at most *timeout_seconds*, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout_seconds)

    def _ensure_thread(self) -> None:
        # begun at the first nudge. Not `Thread.is_alive`: gevent's lets all other greenlets run first
        if self._sender == os.getpid():
            return
        self._sender = os.getpid()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had now: the next nudge tries again
            self._sender = 0

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                gather = min(self._gather_seconds * len(batch), MOST_GATHER_SECONDS)
                self._pause(gather if self._try_send(batch) else PAUSE_SECONDS)
        finally:
            self._sender = 0  # whatever has ended this thread, the next nudge begins another

    def _next_batch(self) -> list[str]:
        """The ids to send next; waits for some. Empty: the publisher is closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch = list(islice(self._waiting, self._batch))
            for job_id in batch:
                del self._waiting[job_id]
            return batch

    def _try_send(self, batch: Sequence[str]) -> bool:
        try:
            self._send(batch)
        except BrokerError as err:
            self.dropped += len(batch)
            self._turn("down", reason=str(err))
            return False
        self._turn("up")
        return True

    def _turn(self, state: str, **why: str) -> None:
        if state != self.state:
            level = logging.WARNING if state == "down" else logging.INFO
            log.log(level, "broker.turned", extra={"state": state, "dropped": self.dropped, **why})
        self.state = state

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)
