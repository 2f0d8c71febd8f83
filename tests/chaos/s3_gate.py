"""A gate before the S3 server: writes every request down, and answers in its place where a rule says so."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from deploy.local.ports import LOOPBACK, free_port

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class S3Call:
    """One request and its answer. `is_conditional`: it carried `If-None-Match: *`."""

    sequence: int
    at: float
    method: str
    key: str
    query: str
    status: int
    is_conditional: bool
    sha256: str  # of the request's body

    @property
    def is_put(self) -> bool:
        """Whether it made an object visible."""
        completes = self.method == "POST" and "uploadId" in self.query
        return (completes or (self.method == "PUT" and "uploadId" not in self.query)) and self.status == 200


@dataclass
class S3Rule:
    """A fault of *method* on keys that contain *key*; *forwarded*: after S3 has done it all the same."""

    method: str
    key: str
    status: int
    code: str
    times: int
    forwarded: bool


class S3Gate:
    """Speaks plain HTTP on `endpoint_url`, in front of the server at *endpoint_url*."""

    def __init__(self, endpoint_url: str) -> None:
        self._target = urlsplit(endpoint_url).netloc
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()
        self._rules: list[S3Rule] = []
        self.calls: list[S3Call] = []
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server names it so
                """Nothing: the calls are kept."""

            def _do(self) -> None:
                if self.headers.get("Expect", "").lower() == "100-continue":
                    pass  # http.server has answered it
                gate._serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _do  # noqa: N815  http.server's names

        self._server = ThreadingHTTPServer((LOOPBACK, free_port()), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://{LOOPBACK}:{self._server.server_port}"

    def answer(self, method: str, key: str, status: int, code: str, *, times: int = 1, forwarded: bool = False) -> None:
        """Answer the next *times* requests of *method* for keys that contain *key* so."""
        with self._lock:
            self._rules.append(S3Rule(method, key, status, code, times, forwarded))

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def of(self, job_id: str) -> list[S3Call]:
        return [call for call in self.calls if f"/{job_id}/" in call.key]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="s3-gate", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        parts = urlsplit(request.path)
        rule = self._rule(request.command, parts.path)
        status, answer = 0, b""
        headers: list[tuple[str, str]] = []
        if rule is None or rule.forwarded:
            status, headers, answer = self._forward(request, body)
        if rule is not None:
            text = f"<Error><Code>{rule.code}</Code><Message>{rule.code}</Message></Error>"
            status, headers, answer = rule.status, [("Content-Type", "application/xml")], text.encode()
        self._note(request, parts.path, parts.query, status, body, rule)
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        if not (request.command == "HEAD" and any(name.lower() == "content-length" for name, _ in headers)):
            request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's answer; the Host header is the client's, as its signature covers it."""
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            held = answer.read()
            is_head = request.command == "HEAD"
            kept = [
                (name, value)
                for name, value in answer.getheaders()
                if name.lower() not in HOP_BY_HOP or (is_head and name.lower() == "content-length")
            ]
            return answer.status, kept, held
        finally:
            connection.close()

    def _rule(self, method: str, key: str) -> S3Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.method == method and rule.key in key and rule.times > 0:
                    rule.times -= 1
                    return rule
        return None

    def _note(
        self, request: BaseHTTPRequestHandler, key: str, query: str, status: int, body: bytes, rule: S3Rule | None
    ) -> None:
        with self._lock:
            self.calls.append(
                S3Call(
                    next(self._sequence),
                    time.time(),
                    request.command,
                    key,
                    query,
                    200 if rule is not None and rule.forwarded else status,
                    request.headers.get("If-None-Match") == "*",
                    sha256(body).hexdigest(),
                )
            )
