"""The receiver as it is shipped: gunicorn under `deploy/gunicorn.conf.py`, as the Procfile starts it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.ports import free_port
from deploy.local.processes import Process
from tests.integration.webhook.conftest import body, path

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 8.0
"""A client's patience here: longer than any promise, shorter than a provider's."""

Answer = tuple[int, bytes]


def command() -> list[str]:
    config = ROOT / "deploy" / "gunicorn.conf.py"
    return [sys.executable, "-m", "gunicorn", "--config", str(config), "webhook.wsgi:application()"]


class Server:
    """A running receiver on a free port of the loopback."""

    def __init__(self, directory: Path, env: Mapping[str, str], *, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self._tls = tls
        self.process = Process(
            "web",
            command(),
            directory=ROOT,
            logs=directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "PORT": str(self.port), **env},
            is_ready=lambda _: self.is_up(),
        )

    def is_up(self) -> bool:
        try:
            return self.ask("/live")[0] == 200
        except OSError:
            return False

    def ask(self, url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> Answer:
        connection = self._connection()
        try:
            connection.request(method, url, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def deliver(self, data: bytes | None = None, *, to: str | None = None) -> Answer:
        """One callback, as EvoLink makes it."""
        content = body() if data is None else data
        return self.ask(to or path(), "POST", content, **{"Content-Type": "application/json"})

    def connect(self) -> socket.socket:
        """A bare connection, for what no HTTP client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def say(self, text: bytes, *, then_shut: bool = False) -> bytes:
        """The server's answer to *text* until it closes the connection; *then_shut* ends our side first."""
        with self.connect() as connection:
            with contextlib.suppress(OSError):  # the server may have heard enough
                connection.sendall(text)
                if then_shut:
                    connection.shutdown(socket.SHUT_WR)
            return hear(connection)

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS, context=self._tls)


def hear(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, in order or by a reset."""
    heard = b""
    try:
        while part := connection.recv(65536):
            heard += part
    except ConnectionResetError:
        pass
    return heard
