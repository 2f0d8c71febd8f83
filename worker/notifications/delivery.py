"""One try at a notification: where it goes, what is sent, and what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from worker.errors import DownloadError
from worker.guard.post import Poster
from worker.guard.retry_after import retry_after_seconds
from worker.guard.text import clean
from worker.guard.urls import HttpsUrl, predicate
from worker.jobs.durations import iso
from worker.jobs.job import Job
from worker.notifications.hosts import HostLimits
from worker.notifications.payload import content_of
from worker.notifications.signature import headers, message_id
from worker.settings.settings import Settings

WORDS = 200
"""Characters of an answer that are kept."""
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
HEEDED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Answers whose Retry-After counts."""
NOT_SET_UP = "notifications are not set up here: CALLSHEET_NOTIFY_SECRETS is not set"


@dataclass(frozen=True)
class Delivery:
    """The outcome of one try. `status` is that of the answer, None where none came: then `error` says why."""

    status: int | None
    milliseconds: int
    error: str = ""
    words: str = ""  # the beginning of the answer's body
    retry_after_seconds: float | None = field(default=None, compare=False)

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_last(self) -> bool:
        """Whether the receiver wants no more of it (410)."""
        return self.status == HTTPStatus.GONE

    @property
    def is_host_up(self) -> bool:
        """Whether the host is there and able: one that refuses this very notification is."""
        return self.status is not None and self.status < 500 and self.status != HTTPStatus.TOO_MANY_REQUESTS

    @property
    def outcome(self) -> str:
        """In words, for people."""
        said = f": {self.words}" if self.words else ""
        return f"answered {self.status}{said}" if self.status is not None else self.error


class Notifications:
    """Sends notifications; one per process, threads share it. *clock* is Unix seconds: receivers look at it."""

    def __init__(
        self,
        *,
        secrets: tuple[str, ...],
        default_url: str | None,
        poster: Poster,
        hosts: HostLimits | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._default_url = default_url
        self._poster = poster
        self.hosts = hosts or HostLimits(clock=monotonic)
        self._clock = clock
        self._monotonic = monotonic

    @classmethod
    def from_settings(cls, settings: Settings) -> Notifications:
        poster = Poster(listed=settings.notify_hosts, ca_file=settings.ca_file)
        return cls(secrets=settings.notify_secrets, default_url=settings.notify_url, poster=poster)

    def wants(self, notify_url: str | None) -> bool:
        """Whether a job is told of, whose spec names *notify_url* or none."""
        return notify_url is not None or self._default_url is not None

    def refusal(self, notify_url: str) -> str | None:
        """Why nothing could ever be sent to *notify_url*, in words that do not hold it; None: perhaps it can."""
        if not self._secrets:
            return NOT_SET_UP
        try:
            self._poster.parse(notify_url)
        except DownloadError as err:
            return predicate(err)
        return None

    def host_of(self, spec_json: str | None) -> str:
        """The host and port that the job of that spec is told at, by which its limits are kept; "" where it is none."""
        try:
            return self._url(spec_json).authority
        except DownloadError:
            return ""

    def send(self, job: Job, spec_json: str | None) -> Delivery:
        """Send the notification of *job* once; never raises for what a receiver or a URL can do."""
        return self._send(message_id(job.id, job.ver), content_of(job, spec_json), lambda: self._url(spec_json))

    def send_test(self, url: str) -> Delivery:
        """Send a signed message of the type `callsheet.test`, which tells of no job, to *url*."""
        now_ms = int(self._clock() * 1000)
        content = json.dumps({"type": "callsheet.test", "timestamp": iso(now_ms), "data": {}}, separators=(",", ":"))
        return self._send(f"test.{now_ms}", content, lambda: self._poster.parse(url))

    def _url(self, spec_json: str | None) -> HttpsUrl:
        url = json.loads(spec_json or "{}").get("notify_url") or self._default_url
        if url is None:
            raise DownloadError("url", "there is no URL to send it to: CALLSHEET_NOTIFY_URL is not set any more")
        if not self._secrets:
            raise DownloadError("url", NOT_SET_UP)
        return self._poster.parse(url)

    def _send(self, webhook_id: str, content: str, url: Callable[[], HttpsUrl]) -> Delivery:
        began = self._monotonic()
        signed = headers(self._secrets, webhook_id, self._clock(), content)
        try:
            posted = self._poster.post(url(), {**JSON_HEADERS, **signed}, content.encode())
        except DownloadError as err:
            return Delivery(None, self._since(began), error=clean(err.detail, WORDS))
        status = posted.head.status
        asked = posted.head.first("retry-after") if status in HEEDED else None
        return Delivery(
            status,
            self._since(began),
            words=clean(posted.start.decode("utf-8", "replace"), WORDS),
            retry_after_seconds=retry_after_seconds(asked, now=self._clock()) if asked else None,
        )

    def _since(self, began: float) -> int:
        return round((self._monotonic() - began) * 1000)
