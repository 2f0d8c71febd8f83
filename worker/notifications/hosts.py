"""Bulkhead and circuit breaker for each host that notifications go to, within one process.

A receiver that is slow or dead then costs a few waiting threads, and its jobs wait; those of other hosts do not notice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

AT_ONCE = 4
"""Most POSTs under way to one host."""
FAILURES = 5
"""So many in a row, and the host is left alone for a while."""
PAUSE_SECONDS = 30.0
"""Then one POST is let through; only a success closes the breaker."""
LONGEST_LINE_SECONDS = 20.0
"""Longer than this, and a job does not wait in this process for its host."""
SPREAD_SECONDS = 270.0
"""Jobs that are held back come again at different times within at most this."""
MOST_HOSTS = 10_000
"""Hosts remembered; beyond, those that nothing is known against are forgotten."""


@dataclass
class _Host:
    active: int = 0
    failures: int = 0
    opened_until: float | None = None
    is_probing: bool = False
    usual_seconds: float = 1.0
    held: int = 0  # jobs that were sent away since the last POST ended


class HostLimits:
    """Bulkhead and circuit breaker of each receiver's host; threads share it. *clock* is monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def begin(self, name: str) -> bool:
        """Whether a POST to that host may begin now; then `end` must follow."""
        with self._lock:
            host = self._of(name)
            if host.active >= AT_ONCE or not self._lets_through(host):
                return False
            host.is_probing = host.opened_until is not None
            host.active += 1
            return True

    def end(self, name: str, *, is_up: bool | None, seconds: float) -> None:
        """A POST has ended after so long. *is_up*: the host is there and able, whatever it said to this one; None:
        nothing was sent."""
        with self._lock:
            host = self._of(name)
            host.active -= 1
            if is_up is None:
                host.is_probing = False
                return
            host.held = 0
            host.usual_seconds += 0.2 * (seconds - host.usual_seconds)
            host.is_probing = False
            if is_up:
                host.failures, host.opened_until = 0, None
                return
            host.failures += 1
            if host.failures >= FAILURES:
                host.opened_until = self._clock() + PAUSE_SECONDS

    def is_open(self, name: str) -> bool:
        """Whether the breaker lets nothing through now."""
        with self._lock:
            return not self._lets_through(self._of(name))

    def has_room(self, name: str, waiting: int) -> bool:
        """Whether one more job may wait for that host behind so many, and be sent soon."""
        with self._lock:
            return (waiting + 1) * self._of(name).usual_seconds / AT_ONCE <= LONGEST_LINE_SECONDS

    def hold_seconds(self, name: str) -> float:
        """For how long to put off a job that may not be sent now: the longer, the more were put off before."""
        with self._lock:
            host = self._of(name)
            host.held += 1
            closed_for = max(0.0, (host.opened_until or 0.0) - self._clock())
            return max(5.0, closed_for) + self._rng.uniform(0, min(SPREAD_SECONDS, 0.5 * host.held))

    def _lets_through(self, host: _Host) -> bool:
        if host.opened_until is None:
            return True
        return self._clock() >= host.opened_until and not host.is_probing

    def _of(self, name: str) -> _Host:
        if name not in self._hosts and len(self._hosts) >= MOST_HOSTS:
            self._hosts = {known: host for known, host in self._hosts.items() if host.active or host.failures}
        return self._hosts.setdefault(name, _Host())
