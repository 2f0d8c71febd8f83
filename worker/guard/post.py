"""One POST to a URL from outside, within limits: pinned to an address that the policy has checked, by no proxy, and
without following redirects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus

from worker.errors import DownloadError
from worker.guard.client import Dial, GuardedClient, Resolve
from worker.guard.connection import Limits, Pace, Watchdog
from worker.guard.destinations import Destination, DestinationPolicy
from worker.guard.response import Head
from worker.guard.urls import HttpsUrl

BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
ANSWER_BYTES = 2048
"""The first bytes of an answer's body that are read; the rest is left."""


@dataclass(frozen=True)
class Posted:
    """The answer to a POST: its head, and the first bytes of its body, as far as they came in time."""

    head: Head
    start: bytes


class Poster:
    """Sends POSTs; threads may share it.

    *listed* allows what is not public (`destinations.py`); *ca_file* is trusted beside the system's roots. A POST is
    given up *total_seconds* after it began, however its host drips bytes.
    """

    def __init__(
        self,
        *,
        listed: Sequence[Destination] = (),
        ca_file: str | None = None,
        total_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        resolve: Resolve | None = None,
        dial: Dial | None = None,
    ) -> None:
        self._limits = Limits(
            total_seconds=total_seconds,
            connect_seconds=min(10.0, total_seconds),
            stall_seconds=total_seconds,
            least_bytes_per_second=0,
        )
        self._clock = clock
        self._policy = DestinationPolicy(tuple(listed))
        self._client = GuardedClient(self._policy, ca_file=ca_file, limits=self._limits, resolve=resolve, dial=dial)

    def parse(self, text: str) -> HttpsUrl:
        """Read *text*; raises `DownloadError` where nothing could ever be sent to it, whatever its host resolves to."""
        url = HttpsUrl.parse(text, may_be_plain=True)
        self._policy.check_name(url)
        return url

    def post(self, url: HttpsUrl, headers: Mapping[str, str], content: bytes) -> Posted:
        """Send *content*; raises `DownloadError` where no answer's head came."""
        seconds, pace = self._limits.total_seconds, Pace(self._limits, self._clock)
        with Watchdog(total_seconds=seconds, call_seconds=seconds) as watchdog, ExitStack() as held:
            answer = self._client.post(url, headers, content, pace, watchdog, held)
            start = b""
            if answer.head.status not in BODILESS:
                with suppress(DownloadError, OSError), watchdog.call():
                    while len(start) < ANSWER_BYTES and (piece := answer.body.read(ANSWER_BYTES - len(start))):
                        start += piece
            return Posted(answer.head, start)
