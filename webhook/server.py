"""Gunicorn's gevent worker with a bound on everything that a client can make it do, for `deploy/gunicorn.conf.py`.

All clients of a process share one thread. A greenlet gives way where it waits; a client that never lets it wait
(requests pipelined without end, a body in one-byte chunks) would have the process for itself.

The master imports this module and nothing that brings urllib3 or Flask: gevent patches each worker after the fork, and
names that were taken out of `ssl` or `threading` before stay unpatched.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, ParseException
from gunicorn.workers.ggevent import GeventWorker

from worker.errors import SettingsError

HEADER_SECONDS = 5
"""For a TLS handshake, for a request's line and headers, and for how long an idle connection is kept."""

REQUEST_SECONDS = 10
"""From the end of the headers to the end of the answer; a provider waits no longer."""

HEAD_BYTES = 16 * 1024
"""Of a request's line and headers, together. They are held before anything is known of the sender."""

BODY_BYTES = 64 * 1024
"""A body that may be longer is not read to its end: its connection is closed after the answer."""

CHUNKING_BYTES = 16 * 1024
"""The most bytes that a body's framing may add: five bytes a chunk at least, and each chunk costs time."""

REQUESTS_PER_CONNECTION = 1000
READS_PER_TURN = 4
"""Reads in a row, of 8 KiB mostly, before the other clients have their turn."""

NOT_HTTP = b"""HTTP/1.1 400 Bad Request\r
Connection: close\r
Content-Type: application/json\r
Content-Length: 24\r
\r
{"error": "bad request"}"""


class ClientSocket:
    """A client's socket that bounds the bytes of each request and gives way every so many reads.

    Gunicorn writes head and body of an answer one by one; here they are kept, and go together.
    """

    def __init__(self, sock: Any) -> None:
        self.requests = 0
        self._sock = sock
        self._room = HEAD_BYTES
        self._reads = 0
        self._answer: list[bytes] = []

    def recv(self, size: int) -> bytes:
        """Read; `LimitRequestHeaders`, as gunicorn itself raises it, when the request's bytes are used up."""
        if self._room <= 0:
            raise LimitRequestHeaders("the request has too many bytes")
        self._reads += 1
        if self._reads % READS_PER_TURN == 0:
            gevent.sleep(0)
        data: bytes = self._sock.recv(min(size, self._room))
        self._room -= len(data)
        return data

    def sendall(self, data: bytes) -> None:
        """Keep *data* for `flush`."""
        self._answer.append(data)

    def flush(self) -> None:
        """Send what was kept."""
        answer, self._answer = b"".join(self._answer), []
        if answer:
            self._sock.sendall(answer)

    def begin_body(self) -> None:
        """The request's head is read."""
        self.requests += 1
        self._room = BODY_BYTES + CHUNKING_BYTES

    def begin_head(self, unread_bytes: int) -> None:
        """Another request may follow, behind *unread_bytes* of a body that nobody wanted."""
        self._room = HEAD_BYTES + unread_bytes

    def forget_answer(self) -> None:
        """Drop what was kept: the answer failed half-way."""
        self._answer = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn carries no types
    """Gunicorn's gevent worker, with an end to every wait for a client and no request line in any log."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection; the TLS handshake is still to be made."""
        if isinstance(client, ssl.SSLSocket):
            try:
                with gevent.Timeout(HEADER_SECONDS):
                    client.do_handshake()
            except (OSError, gevent.Timeout):
                return
        super().handle(listener, ClientSocket(client), addr)

    def handle_request(self, listener_name: Any, req: Any, client: ClientSocket, addr: Any) -> None:
        """Serve one request, then let the others have their turn.

        A client too slow for it loses the connection, without an answer.
        """
        client.begin_body()
        declared = _declared_bytes(req)
        if declared is None or declared > BODY_BYTES or client.requests >= REQUESTS_PER_CONNECTION:
            req.force_close()  # instead of reading the rest of a body that we refuse
        try:
            with gevent.Timeout(REQUEST_SECONDS):
                try:
                    super().handle_request(listener_name, req, client, addr)
                except StopIteration:  # how gunicorn ends a connection, after an answer too
                    client.flush()
                    raise
                client.flush()
        except gevent.Timeout:
            raise StopIteration from None
        client.begin_head(declared or 0)
        gevent.sleep(0)

    def handle_error(self, _req: Any, client: ClientSocket, _addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP. Gunicorn's own method logs the request line, which may hold a token."""
        self.log.warning("connection.refused reason=%s", type(exc).__name__)
        client.forget_answer()
        if isinstance(exc, ParseException):
            with suppress(OSError):  # the client may be gone
                util.write(client, NOT_HTTP)
                client.flush()


def _declared_bytes(req: Any) -> int | None:
    """The length of a request's body; None where only reading tells."""
    headers = dict(req.headers)
    declared = headers.get("CONTENT-LENGTH", "0")
    return int(declared) if "TRANSFER-ENCODING" not in headers and declared.isdecimal() else None


def ssl_context(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Leave the handshake to `Worker.handle`, which bounds it."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.wrap_socket = partial(context.wrap_socket, do_handshake_on_connect=False)  # type: ignore[method-assign]
    return context


def check_environment() -> None:
    """End this process, with one line, where the environment cannot be used.

    Another process judges, because of what settings and adapters import. Were it left to the workers, the second one to
    refuse would meet gunicorn while it stops for the first: a traceback.
    """
    status = subprocess.run([sys.executable, "-m", "webhook.wsgi"], check=False).returncode
    if status:
        sys.exit(status)


def address(env: Mapping[str, str]) -> str:
    """The address to listen at, from HOST and PORT; `SettingsError` for a value that is no port."""
    host, port = env.get("HOST") or "127.0.0.1", env.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError([f"PORT must be a port number, got {port!r}"])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_files(env: Mapping[str, str]) -> tuple[str, str] | tuple[None, None]:
    """The files of certificate and key, or None twice; `SettingsError` where one of them is no file."""
    names = ("CALLSHEET_TLS_CERT", "CALLSHEET_TLS_KEY")
    cert, key = (env.get(name, "") for name in names)
    if not cert and not key:
        return None, None
    missing = [name for name in names if not Path(env.get(name, "")).is_file()]
    if missing:
        raise SettingsError([f"{name} must name a file: TLS needs both {' and '.join(names)}" for name in missing])
    return cert, key
