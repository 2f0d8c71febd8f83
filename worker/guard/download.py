"""Downloads of what a link from outside leads to: within limits, in order, going on where the host cut it.

The only door for links of films. `client.py` decides where a connection may go; here stands what an answer must be,
and how a download that was cut goes on at the byte where it stopped (Range with If-Range), so that the stream's hash
and checks go on as if nothing had been.

`DownloadError.reason` is one of

    url         the link is not an https URL with a plain host
    host        the host is not among CALLSHEET_MEDIA_HOSTS
    address     the host lies, also, in a network we do not enter
    port        a port other than 443, outside the networks opened by hand
    resolve, connect, tls    no way to the host
    redirects   more than ten
    dead        403, 404, 410: the link is gone (`LinkDeadError`)
    busy        429 or 5xx: the host may serve it later
    status      any other answer than 200, 203 or a 206 that begins with the first byte
    headers, encoding, protocol    an answer that cannot be read
    stalled, slow, timeout    silent for long; below the least rate; out of time
    too_large, truncated, cut    more bytes than allowed; fewer than declared; a connection lost on the way
    changed     cut, and the host does not go on with the same file
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http import HTTPStatus

from worker.errors import DownloadError, LinkDeadError
from worker.guard.addresses import Network
from worker.guard.client import Answer, Dial, GuardedClient, LinkPolicy, Resolve
from worker.guard.connection import Limits, Pace, Watchdog
from worker.guard.decoding import decoded
from worker.guard.response import BodyEnd, Head
from worker.guard.urls import HttpsUrl

CHUNK_BYTES = 256 * 1024
DEAD = frozenset({403, 404, 410})
FULL = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)

PASSING = frozenset({"cut", "truncated", "stalled", "busy", "connect", "resolve", "tls"})
"""Failures after which the rest is asked for."""
MOST_RESUMES = 20
FRUITLESS_RESUMES = 3
"""Most requests in a row for the rest that bring no byte."""
RESUME_SECONDS = 0.5
"""The pause before the rest is asked for; each fruitless request doubles it."""

Get = Callable[[Mapping[str, str]], Answer]


class Download:
    """The bytes behind one link, in order, whatever number of answers they take.

    `declared_bytes` is the whole length; None when the host did not say, or compressed the bytes.
    """

    def __init__(self, get: Get, watchdog: Watchdog, max_bytes: int, sleep: Callable[[float], None]) -> None:
        self._get = get
        self._watchdog = watchdog
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._answer = get({})
        self._total = _whole_length(self._answer)
        if self._total is not None and self._total > max_bytes:
            raise DownloadError("too_large", f"{self._total} bytes are declared, {max_bytes} allowed")
        head = self._answer.head
        self._validator = _validator(head)
        self._codings = head.parts("content-encoding")
        self._received = 0
        self._end: BodyEnd | None = None
        self._chunks, is_decoded = decoded(self._raw(), self._codings + head.parts("transfer-encoding"))
        self.declared_bytes = None if is_decoded else self._total

    @property
    def end(self) -> BodyEnd | None:
        """The end of the body; None until all of it was read. After UNKNOWN, the film must prove itself whole."""
        return self._end

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at most 256 KiB at a time; raises `DownloadError` unless all come, within the limits."""
        count = 0
        for chunk in self._chunks:
            count += len(chunk)
            if count > self._max_bytes:
                raise DownloadError("too_large", f"over {self._max_bytes} bytes")
            yield chunk

    def _raw(self) -> Iterator[bytes]:
        """The bytes as the host sends them; the rest of a body that was cut is asked for."""
        fruitless = 0
        for tries in itertools.count():
            before = self._received
            try:
                if tries:
                    self._ask_for_the_rest()
                yield from self._rest_of_answer()
                return
            except DownloadError as err:
                fruitless = 0 if self._received > before else fruitless + 1
                is_passing = err.reason in PASSING and fruitless < FRUITLESS_RESUMES and tries < MOST_RESUMES
                if not (is_passing and self._can_resume):
                    raise
            self._sleep(RESUME_SECONDS * 2**fruitless)

    def _rest_of_answer(self) -> Iterator[bytes]:
        most_bytes = self._max_bytes if self._total is None else self._total
        while self._end is None and (chunk := self._read()):
            self._received += len(chunk)
            if self._received > most_bytes:
                raise DownloadError("too_large", f"over {most_bytes} bytes")
            yield chunk
        end = self._answer.body.end if self._total is None else BodyEnd.DECLARED
        if self._total is not None and self._received < self._total:
            raise DownloadError("truncated", f"{self._received} of {self._total} bytes came")
        if end is BodyEnd.UNKNOWN and self._can_resume:
            raise DownloadError("cut", "the connection ended without a length or a sign that all had come")
        self._end = self._end or end

    def _read(self) -> bytes:
        try:
            with self._watchdog.call():
                return self._answer.body.read(CHUNK_BYTES)
        except OSError as err:
            raise DownloadError("cut", "the connection was lost in the body") from err

    @property
    def _can_resume(self) -> bool:
        return self._validator is not None and self._received > 0

    def _ask_for_the_rest(self) -> None:
        """Go on with the answer to a request for the rest, which must be of the very same file [RFC 9110 13.1.5]."""
        name, value = self._validator or ("", "")
        answer = self._get({"Range": f"bytes={self._received}-", "If-Range": value})
        _check(answer.head)
        first, total = _content_range(answer.head)
        is_same = total is not None and self._total in (None, total) and answer.head.first(name) in (None, value)
        if is_same and answer.head.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and total == self._received:
            self._total, self._end = total, BodyEnd.DECLARED  # all had come
            return
        is_rest = answer.head.status == HTTPStatus.PARTIAL_CONTENT and first == self._received
        if not (is_same and is_rest and answer.head.parts("content-encoding") == self._codings):
            raise DownloadError("changed", "the download was cut, and the host does not go on with the same file")
        self._total, self._answer = total, answer


class Downloader:
    """Opens links; one per process will do, and threads may share it.

    *ca_file* is trusted beside the system's roots. *media_hosts* admits only these hosts and
    their subdomains; empty admits any. *allow_networks* opens networks that are not public,
    on any port.
    """

    def __init__(
        self,
        *,
        ca_file: str | None = None,
        allow_networks: Sequence[Network] = (),
        media_hosts: Sequence[str] = (),
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        resolve: Resolve | None = None,
        dial: Dial | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._sleep = sleep
        self._client = GuardedClient(
            LinkPolicy(tuple(allow_networks), tuple(media_hosts)),
            ca_file=ca_file,
            limits=self._limits,
            resolve=resolve,
            dial=dial,
        )

    @contextmanager
    def open(self, url: str, *, most_seconds: float | None = None) -> Iterator[Download]:
        """GET *url* and hand over the bytes that it leads to, within the `with` block.

        It may last *most_seconds*, such as until the link's end; never longer than the largest size takes at the
        least rate. Raises `LinkDeadError` when the link is gone, `DownloadError` for everything else.
        """
        seconds = self._limits.total_seconds
        limits = replace(self._limits, total_seconds=seconds if most_seconds is None else min(most_seconds, seconds))
        parsed, pace = HttpsUrl.parse(url), Pace(limits, self._clock)
        with (
            Watchdog(total_seconds=limits.total_seconds, call_seconds=limits.call_seconds) as watchdog,
            ExitStack() as held,
        ):

            def get(headers: Mapping[str, str]) -> Answer:
                held.close()  # the connection of the answer before
                return self._client.get(parsed, headers, pace, watchdog, held)

            yield Download(get, watchdog, limits.max_bytes, self._sleep)


def _check(head: Head) -> None:
    """Raise where *head* says that the link is gone, or the host busy."""
    if head.status in DEAD:
        raise LinkDeadError("dead", f"the host answered {head.status}")
    if head.status == HTTPStatus.TOO_MANY_REQUESTS or head.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise DownloadError("busy", f"the host answered {head.status}")


def _whole_length(answer: Answer) -> int | None:
    """The whole length of what *answer* begins, if it tells; raises unless it begins with the first byte."""
    _check(answer.head)
    if answer.head.status in FULL:
        return answer.body.declared_bytes
    first, total = _content_range(answer.head)
    if answer.head.status != HTTPStatus.PARTIAL_CONTENT or first != 0 or total is None:
        raise DownloadError("status", f"the host answered {answer.head.status}")
    return total


def _content_range(head: Head) -> tuple[int | None, int | None]:
    """The first byte and the whole length that Content-Range tells; None for each that it does not."""
    found = CONTENT_RANGE.fullmatch(head.first("content-range") or "")
    if found is None:
        return None, None
    first, total = found.groups()
    return (None if first is None else int(first)), (None if total == "*" else int(total))


def _validator(head: Head) -> tuple[str, str] | None:
    """The field, and its value, that names this very file, where the host offers parts of it."""
    if "bytes" not in head.parts("accept-ranges") and head.status != HTTPStatus.PARTIAL_CONTENT:
        return None
    for name in ("etag", "last-modified"):
        if (value := head.first(name)) and not value.startswith("W/") and value.isascii():
            return name, value
    return None
