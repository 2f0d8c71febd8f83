"""A backend's receiver of notifications over real HTTPS (or HTTP), whose every answer a test decides."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

from deploy.local.tls import LocalTls

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLDER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Received:
    """One POST that came. `headers` have lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str = SECRET) -> dict[str, Any]:
        """The content, if the library of Standard Webhooks finds it genuine."""
        Webhook(secret).verify(self.body, dict(self.headers))
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class Answer:
    """An answer to one POST; `before` runs when the POST has been read."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    before: Callable[[], object] = lambda: None


class Receiver:
    """The receiver. `answer` is that of every POST for which none is set in `by_path` or queued in `answers`."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self._server = server
        self._scheme = scheme
        self.answer = Answer()
        self.answers: list[Answer] = []
        self.by_path: dict[str, Answer] = {}
        self.received: list[Received] = []

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{host}:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        return [one.webhook_id for one in self.received]

    @property
    def types(self) -> list[str]:
        return [json.loads(one.body)["type"] for one in self.received]

    def take(self, received: Received) -> Answer:
        self.received.append(received)
        answer = self.by_path.get(received.path) or (self.answers.pop(0) if self.answers else self.answer)
        answer.before()
        return answer


class _Server(ThreadingHTTPServer):
    """Says nothing of connections that were cut: tests cut them on purpose."""

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def receiving(tls: LocalTls | None) -> Iterator[Receiver]:
    """A receiver on a loopback port, by HTTPS unless *tls* is None, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.take(Received(self.path, headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  the library's name

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert_file, tls.key_file)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(server, "http" if tls is None else "https")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
