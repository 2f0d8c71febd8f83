"""The demo's receiver of notifications: it keeps what is genuine, and when it came."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from worker.notifications import signature


class Listener:
    """Listens on a loopback port within the `with` block; `secret` may be set once it is known.

    `told`: job id -> when its notification came (Unix ms), and what that said; the first of each job.
    """

    def __init__(self) -> None:
        self.secret = ""
        self.told: dict[str, tuple[int, dict[str, Any]]] = {}
        self.refused = 0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, headers: dict[str, str], content: bytes) -> int:
        """Keep one message if it is genuine; the status that answers it."""
        if signature.problem((self.secret,), headers, content) is not None:
            self.refused += 1
            return 401
        said = json.loads(content)
        self.told.setdefault(said["data"]["job_id"], (time.time_ns() // 1_000_000, said))
        return 204


class _Server(ThreadingHTTPServer):
    def __init__(self, listener: Listener) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.listener = listener


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(self.server.listener.take(headers, content))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  the library's name
