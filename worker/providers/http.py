"""The one way an adapter speaks to its provider: HTTPS, our key, bounded in time and bytes.

A POST may cost money, so what matters is whether it can have been taken: it
goes over a connection of its own, and its body remembers whether its sending began.
Until then nothing that could be acted on has left this machine. A GET costs
nothing: connections are kept, and a stale one is tried anew, once.

An answer is a stranger's. Its time and its bytes are bounded in the socket, below
any library: a chunk size of -1 has been read as "all there is". Whatever a library
raises while an answer is read is the provider's failure.
"""

from __future__ import annotations

import http.client
import io
import json
import ssl
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from worker.errors import NotTakenError, ProviderError, SettingsError, UnconfirmedError
from worker.guard.retry_after import http_date, retry_after_seconds

POST_SECONDS = (5.0, 60.0)  # to connect; from the last byte sent to the last byte read
GET_SECONDS = (5.0, 20.0)
ANSWER_BYTES = 1024 * 1024
WIRE_BYTES = 8 * 1024 * 1024
"""Most bytes that one answer may take on the wire: its head, interim answers, framing and trailers included."""
INTERIM_ANSWERS = 8
"""Most answers of status 1xx (103 Early Hints, say) before the one that counts."""
RETRY_AFTER_SECONDS = (1.0, 900.0)

TOO_LONG = "answer_too_long"


class AnswerTooLong(Exception):
    """More bytes than any answer of this provider has."""


@dataclass(frozen=True)
class Answer:
    """An answer, whatever its status."""

    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None  # seconds, clamped; None: not named, or not readable
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # names in lower case


class Api:
    """One provider's HTTPS API. `session` carries the GETs; its connections are kept. `auth` makes the headers that
    carry our key, anew for each request; by default a bearer's."""

    def __init__(
        self,
        provider: str,
        base_url: str,
        api_key: str,
        tls: ssl.SSLContext,
        *,
        session: requests.Session | None = None,
        auth: Callable[[], Mapping[str, str]] | None = None,
        answer_bytes: int = ANSWER_BYTES,
        post_seconds: tuple[float, float] = POST_SECONDS,
        get_seconds: tuple[float, float] = GET_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.clock_ms: int | None = None  # the clock of the last answer, Unix ms; None: it told none
        self.provider = provider
        self.api_key = api_key
        self.base_url = base_url
        self._tls = tls
        self._session = session or new_session(tls)
        self._answer_bytes = answer_bytes
        self._post_seconds = post_seconds
        self._get_seconds = get_seconds
        self._now = now
        self._auth = auth or (lambda: {"Authorization": f"Bearer {api_key}"})
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "callsheet",
        }

    def at(self, base_url: str) -> Api:
        """The same provider's API at another host, with the same key and connections' trust."""
        other = copy(self)
        other.base_url = base_url
        return other

    def post(
        self,
        path: str,
        document: Mapping[str, Any],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send *document*, once. Raises `NotTakenError` if it surely never arrived, else `UnconfirmedError`."""
        body = _Body(json.dumps(document, separators=(",", ":")).encode())
        try:
            sent = {**self._headers, **self._auth(), "Content-Type": "application/json", **(headers or {})}
            with new_session(self._tls) as session:
                return self._exchange(session, "POST", path, self._post_seconds, headers=sent, params=query, data=body)
        except Exception as err:  # of a library that reads a stranger's answer: anything
            if not body.begun:
                raise NotTakenError(self.provider, "unreachable", f"could not connect ({_kind(err)})") from err
            raise UnconfirmedError(
                self.provider, "no_answer", f"the connection broke after the request was sent ({_kind(err)})"
            ) from err

    def act(self, method: str, path: str) -> Answer:
        """Send a request that changes something there and costs nothing, once, without a body.

        Raises `ProviderError` when no answer could be had: whether it took effect is then not known.
        """
        try:
            sent = {**self._headers, **self._auth(), "Content-Length": "0"}
            with new_session(self._tls) as session:
                return self._exchange(session, method, path, self._get_seconds, headers=sent)
        except Exception as err:  # of a library that reads a stranger's answer: anything
            raise ProviderError(self.provider, "unreachable", f"no answer ({_kind(err)})") from err

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises `ProviderError` when no answer could be had now."""

        def ask() -> Answer:
            sent = {**self._headers, **self._auth()}
            return self._exchange(self._session, "GET", path, self._get_seconds, headers=sent, params=query)

        try:
            try:
                return ask()
            except requests.ConnectionError as err:
                if not _was_stale(err):
                    raise
                return ask()
        except AnswerTooLong as err:
            raise ProviderError(self.provider, TOO_LONG, f"its answer is {err}") from err
        except Exception as err:  # of a library that reads a stranger's answer: anything
            raise ProviderError(self.provider, "unreachable", f"no answer ({_kind(err)})") from err

    def _exchange(
        self, session: requests.Session, method: str, path: str, timeout: tuple[float, float], **options: Any
    ) -> Answer:
        # Straight to the adapter: no cookies, redirects, hooks or environment are wanted, and `Session.request`
        # takes a fifth of a poll to find that out.
        request = requests.Request(method, self.base_url + path, **options).prepare()
        with session.get_adapter(str(request.url)).send(request, stream=True, timeout=timeout) as response:
            body = self._read(response)
        told_at = http_date(response.headers.get("Date", ""))
        self.clock_ms = None if told_at is None else int(told_at * 1000)
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, body, self._retry_after(response.headers), told)

    def _read(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.raw.stream(64 * 1024, decode_content=True):
            body += chunk
            if len(body) > self._answer_bytes:
                raise AnswerTooLong(f"over {self._answer_bytes} bytes")
        return bytes(body)

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Seconds from a Retry-After of seconds or of a date; a date counts from the answer's own Date."""
        text, answered_at = headers.get("Retry-After", ""), headers.get("Date", "")
        wait = retry_after_seconds(text, answered_at=answered_at, now=self._now())
        low, high = RETRY_AFTER_SECONDS
        return None if wait is None else min(max(wait, low), high)


def trust(ca_file: str | None) -> ssl.SSLContext:
    """A client's TLS context: the system's roots, and *ca_file* beside them; raises `SettingsError`."""
    context = ssl.create_default_context()
    context.sslsocket_class = _WholeAnswerSocket
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as err:  # of which ssl.SSLError is one
            raise SettingsError([f"CALLSHEET_CA_FILE names a file that holds no certificates: {ca_file}"]) from err
    return context


def new_session(tls: ssl.SSLContext) -> requests.Session:
    """A session that trusts *tls* and takes nothing from the environment: no proxy, no netrc, no cookie."""
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.adapters.clear()  # plain HTTP is not spoken: every request carries our key
    session.mount("https://", _TrustingAdapter(tls))
    return session


class _TrustingAdapter(HTTPAdapter):
    """Checks certificates against one given context; `requests` would add its own bundle at each connection."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 -- theirs
        conn.cert_reqs = "CERT_REQUIRED"


class _FinalResponse(http.client.HTTPResponse):
    """The answer that counts: interim answers are skipped. `http.client` does so for 100 alone."""

    def begin(self) -> None:
        for _ in range(INTERIM_ANSWERS):
            super().begin()
            if self.status == http.client.SWITCHING_PROTOCOLS or not 100 <= self.status < 200:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # as before: `begin` reads once
        raise http.client.HTTPException("interim answers without end")


class _Connection(urllib3.connection.HTTPSConnection):
    response_class = _FinalResponse


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection


class _WholeAnswerSocket(ssl.SSLSocket):
    """A TLS socket whose time-out is for the whole answer, and which brings `WIRE_BYTES` of it at most.

    As it is, each trickled byte would begin the time-out anew. Each request sets it anew, and with it the count.
    """

    _ends: float | None = None
    _bytes_left = WIRE_BYTES

    def settimeout(self, value: float | None) -> None:
        self._ends = None if value is None else time.monotonic() + value
        self._bytes_left = WIRE_BYTES
        super().settimeout(value)

    def recv_into(self, *args: Any, **options: Any) -> int:
        if self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer took too long")
            super().settimeout(left)
        if self._bytes_left <= 0:
            raise AnswerTooLong(f"over {WIRE_BYTES} bytes")
        count = super().recv_into(*args, **options)
        self._bytes_left -= count
        return count


class _Body(io.BytesIO):
    """A request body that remembers whether its sending began; that is after connect and TLS handshake."""

    begun = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun = True
        return super().read(size)


def _kind(err: BaseException) -> str:
    """The innermost cause by its type: messages of HTTP clients hold URLs."""
    seen: BaseException = err
    for _ in range(8):
        inner = seen.__cause__ or getattr(seen, "reason", None) or (seen.args[0] if seen.args else None)
        if not isinstance(inner, BaseException):
            break
        seen = inner
    return type(seen).__name__


def _was_stale(err: requests.ConnectionError) -> bool:
    """Whether a kept connection may have been closed by the other side before our request reached it."""
    cause = err.args[0] if err.args else None
    return isinstance(cause, urllib3.exceptions.ProtocolError)
