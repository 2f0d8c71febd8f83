"""One connection: HTTP/1.1 read within bounds, and answers that arrive as badly as scripted."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from deploy.sandbox.answers import Answer, Call, json_answer
from deploy.sandbox.history import Entry
from deploy.sandbox.sandbox import Sandbox

MOST_BODY_BYTES = 80 * 1024 * 1024  # a 50 MB image in Base64, and room
IDLE_SECONDS = 75
LINE_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024
SLICES_PER_SECOND = 10
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")


class _Server(Protocol):
    """The server as a connection sees it."""

    sandbox: Sandbox
    stopping: threading.Event
    url: str


class _TooLargeError(Exception):
    """The body is larger than any provider takes."""


class Connection(BaseHTTPRequestHandler):
    """One connection and the calls on it."""

    server: _Server  # type: ignore[assignment]  # the base class wants its own kind of server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    says_goodbye = True  # whether TLS ends with close_notify

    def handle_one_request(self) -> None:
        """Read one call and answer it, whatever its method."""
        self.raw_requestline = self.rfile.readline(LINE_BYTES + 1)
        if not self.raw_requestline:
            self.close_connection = True
        elif len(self.raw_requestline) > LINE_BYTES:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif self.parse_request():
            self._handle_call()

    def _handle_call(self) -> None:
        try:
            call = self._call(self._read_body())
        except _TooLargeError:
            self.close_connection = True
            self._send(json_answer(413, {"error": "the body is too large"}), None)
            return
        except ValueError:
            self.close_connection = True
            self._send(json_answer(400, {"error": "neither the URL nor the body's length may be told like this"}), None)
            return
        answer, entry = self.server.sandbox.answer(call)
        try:
            self._send(answer, entry)
        finally:
            if answer.after:
                answer.after()

    def log_message(self, _format: str, *args: Any) -> None:
        """Silent: the history tells what happened."""

    def _call(self, body: bytes) -> Call:
        parts = urlsplit(self.path)
        host = self.headers.get("Host", "")
        return Call(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            base_url=f"https://{host}" if HOST.fullmatch(host) else self.server.url,
            from_loopback=_is_loopback(self.client_address[0]),
        )

    # --- reading

    def _read_body(self) -> bytes:
        """The body, whole; ValueError for a length that cannot be, `_TooLargeError` beyond the bound."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        told = self.headers.get("Content-Length", "0")
        if not re.fullmatch(r"[0-9]{1,18}", told):
            raise ValueError("Content-Length")
        if int(told) > MOST_BODY_BYTES:
            raise _TooLargeError
        body = self.rfile.read(int(told))
        if len(body) < int(told):
            raise ConnectionError("the client left in the middle of its body")
        return body

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while size := int(self.rfile.readline(1024).partition(b";")[0], 16):
            total += size
            if not 0 <= total <= MOST_BODY_BYTES:
                raise _TooLargeError
            yield self.rfile.read(size)
            self.rfile.readline(1024)
        while self.rfile.readline(1024).strip():
            pass

    # --- sending

    def _send(self, answer: Answer, entry: Entry | None) -> None:
        sending = answer.sending
        if sending.delay_seconds:
            self.server.stopping.wait(sending.delay_seconds)
        if sending.cut:
            self._reset()
            self._note(entry, sent_bytes=0, sent="cut")
            return
        body = b"" if self.command == "HEAD" else answer.body
        sent = _Sent()
        try:
            if sending.endless:
                self._send_endlessly(answer, sent)
            else:
                self._send_measured(answer, body, sent)
        finally:
            self._note(entry, sent_bytes=sent.count, sent="whole" if sent.count == len(body) else "part")

    def _send_measured(self, answer: Answer, body: bytes, sent: _Sent) -> None:
        sending = answer.sending
        if sending.without_length or sending.without_close_notify:
            self.close_connection = True
        self.says_goodbye = not sending.without_close_notify
        head = self._head(answer, None if sending.without_length else f"Content-Length: {len(answer.body)}")
        if not sending.half and not sending.bytes_per_second:
            self.connection.sendall(head + body)
            sent.count += len(body)
            return
        self.connection.sendall(head)
        for piece in _pieces(body[: len(body) // 2] if sending.half else body, sending.bytes_per_second):
            self.connection.sendall(piece)
            sent.count += len(piece)
            if sending.bytes_per_second and self.server.stopping.wait(1 / SLICES_PER_SECOND):
                break
        if sent.count < len(answer.body):
            self._reset()

    def _send_endlessly(self, answer: Answer, sent: _Sent) -> None:
        """In chunks, over and over, until the client or the sandbox goes."""
        self.connection.sendall(self._head(answer, "Transfer-Encoding: chunked"))
        while not self.server.stopping.is_set():
            for piece in _pieces(answer.body, answer.sending.bytes_per_second):
                self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                sent.count += len(piece)
                if answer.sending.bytes_per_second and self.server.stopping.wait(1 / SLICES_PER_SECOND):
                    return

    def _head(self, answer: Answer, length: str | None) -> bytes:
        try:
            reason = HTTPStatus(answer.status).phrase
        except ValueError:
            reason = "Status"
        lines = [
            f"HTTP/1.1 {answer.status} {reason}",
            f"Date: {self.date_time_string(self.server.sandbox.clock.now())}",
            "Server: callsheet-sandbox",
            f"Content-Type: {answer.content_type}",
            *([length] if length else []),
            *(f"{name}: {value}" for name, value in answer.headers.items()),
            *(["Connection: close"] if self.close_connection else []),
        ]
        return "\r\n".join((*lines, "", "")).encode("latin-1", "replace")

    def _reset(self) -> None:
        """End the connection without a goodbye, so that the client sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _note(self, entry: Entry | None, **fields: Any) -> None:
        if entry is not None:
            self.server.sandbox.history.fill(entry, **fields)


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class _Sent:
    """Counter of a body's bytes that were sent."""

    count = 0


def _pieces(body: bytes, bytes_per_second: int | None) -> Iterator[bytes]:
    size = max(1, bytes_per_second // SLICES_PER_SECOND) if bytes_per_second else PIECE_BYTES
    for start in range(0, len(body), size):
        yield body[start : start + size]
