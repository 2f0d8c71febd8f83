"""A provider's end of the wire, over real TLS, that answers or breaks exactly as told."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self

from deploy.local.tls import LocalTls


@dataclass(frozen=True)
class Heard:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    connection: int  # which connection it came over, counted from 1

    def json(self) -> Any:
        return json.loads(self.body)


class Line(BaseHTTPRequestHandler):
    """One connection. A behaviour gets it after each request has been read whole."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    number = 0

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.wire.heard.append(Heard(self.command, self.path, headers, body, self.number))
        self.server.wire.behaviours.popleft()(self)

    def log_message(self, _format: str, *args: Any) -> None:
        """Silent."""

    def say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, declared: int = -1) -> None:
        """An answer; *declared* lies about its length."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if declared < 0 else declared))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """End the connection so that the other side sees a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def pause(self, seconds: float) -> None:
        """Keep the other side waiting, but not beyond the end of the test."""
        self.server.wire.over.wait(seconds)


Behaviour = Callable[[Line], object]


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    wire: Wire
    tls: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self.wire.lock:
            self.wire.connections += 1
            number = self.wire.connections
        with contextlib.suppress(OSError), self.tls.wrap_socket(request, server_side=True) as connection:
            self.wire.open.append(connection)
            type("Line", (Line,), {"number": number})(connection, client_address, self)
            if connection.fileno() != -1:
                connection.settimeout(0)  # as nginx does: tell the end of TLS, and do not wait for the client's
                connection.unwrap()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is what many tests are about."""


class Wire:
    """A server on the loopback; use it in a `with` block."""

    def __init__(self, tls: LocalTls) -> None:
        self.ca_file = str(tls.ca_file)
        self.heard: list[Heard] = []
        self.behaviours: deque[Behaviour] = deque()
        self.connections = 0
        self.open: list[ssl.SSLSocket] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._listener = _Listener(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self._listener.wire = self
        self._listener.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._listener.tls.load_cert_chain(tls.cert_file, tls.key_file)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))
        self.url = f"https://127.0.0.1:{self._listener.server_address[1]}"

    def then(self, behaviour: Behaviour) -> None:
        """Set the answer to the next request that has none."""
        self.behaviours.append(behaviour)

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next request; *body* is sent as JSON unless it is bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.then(lambda line: line.say(status, content, headers))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._listener.shutdown()
        for connection in self.open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.server_close()
        self._thread.join()
