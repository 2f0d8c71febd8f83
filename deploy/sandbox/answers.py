"""One call and its answer, without sockets: what comes in, what goes out, and how badly it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

JSON = "application/json"

PROXY_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Bad Gateway</title></head>\n"
    b"<body><center><h1>Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n"
)


@dataclass(frozen=True)
class Call:
    """An HTTP request, read whole."""

    method: str
    path: str  # without the query
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    base_url: str  # how the caller reached us: links in answers start with it
    from_loopback: bool

    @property
    def bearer(self) -> str:
        """The key of `Authorization: Bearer <key>`, or an empty string."""
        return self.key("Bearer")

    def key(self, scheme: str) -> str:
        """The key of `Authorization: <scheme> <key>`, or an empty string."""
        given, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() if given.lower() == scheme.lower() else ""

    def json(self) -> Any:
        """The body as JSON; ValueError for what is not, NaN and Infinity included."""
        return json.loads(self.body.decode(), parse_constant=_refuse_constant)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


@dataclass(frozen=True)
class Sending:
    """The way an answer's bytes are sent; by default at once and whole."""

    delay_seconds: float = 0.0
    cut: bool = False  # reset the connection without a byte
    half: bool = False  # declare everything, send half, reset
    bytes_per_second: int | None = None
    endless: bool = False  # no length, and no end until the client goes
    without_length: bool = False  # the end of the body is the end of the connection
    without_close_notify: bool = False  # the connection ends behind the answer, and TLS does not say so


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    sending: Sending = Sending()
    request_id: str | None = None  # the generation it is about, for the history
    after: Callable[[], None] | None = None  # runs when the answer has left, or could not

    def sent(self, sending: Sending) -> Answer:
        return replace(self, sending=sending)


def json_answer(status: int, body: Any, *, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body, separators=(",", ":")).encode(), headers=headers or {})


def html_answer(status: int) -> Answer:
    """The answer of a proxy whose provider is not there."""
    return Answer(status, PROXY_PAGE, "text/html")


class Refusal(Exception):
    """The provider says no, before any generation exists; each wire format words it its own way."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
