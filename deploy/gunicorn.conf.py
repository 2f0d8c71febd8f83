"""How the receiver is served: `gunicorn --config deploy/gunicorn.conf.py "webhook.wsgi:application()"`.

Why gevent. 250 connections that send their headers and 250 that send their
bodies at a byte per second held all threads of gthread, and of granian (which
bounds slow headers, not slow bodies): a good callback waited until it was given
up. Under gevent it is answered at once (tests/integration/webhook holds it to
that). Callbacks in flight together share one fsync of Redis; `make bench` says
how many are accepted per second.

What bounds slow clients: `HEADER_SECONDS` and `REQUEST_SECONDS` end each
connection that takes longer, and `worker_connections` caps how many there are.
"""

from __future__ import annotations

import gc
import mmap
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

import gevent
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

# The master imports nothing that brings urllib3 or Flask: gevent patches each worker after the fork, and
# what has taken names out of `ssl` or `threading` before stays unpatched.
from worker.errors import SettingsError

HEADER_SECONDS = 5
"""For a TLS handshake, for a request's line and headers, and for how long an idle connection is kept."""

REQUEST_SECONDS = 10
"""From the end of the headers to the end of the answer; a provider waits no longer."""

BODY_BYTES = 64 * 1024
"""A body that may be longer is not read to its end: its connection is closed after the answer."""

OBJECTS_PER_COLLECTION = 10_000
"""A callback makes some hundreds, hardly any of them in a cycle."""

MOST_WORKERS = 32
"""That are counted; there are two, until somebody asks the master for more."""

LEAD = 2
"""How many connections more than another worker's one takes before it leaves the next to that one."""

TURN_MS = 10
"""How long a connection is left to a worker that has fewer; then whoever is there takes it."""

NOT_HTTP = b"""HTTP/1.1 400 Bad Request\r
Connection: close\r
Content-Type: application/json\r
Content-Length: 24\r
\r
{"error": "bad request"}"""


class OneWrite:
    """A socket to which head and body of an answer go together: gunicorn writes them one by one."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep *data* for the end of the request."""
        self._parts.append(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # `StopIteration` is how gunicorn ends a connection after an answer, too
        if self._parts and (kind is None or kind is StopIteration):
            self._sock.sendall(b"".join(self._parts))


class Held:
    """How many connections each worker has, in memory that all of them share."""

    NOBODY = -1

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * MOST_WORKERS)).cast("i")
        for place in range(MOST_WORKERS):
            self._counts[place] = self.NOBODY

    def begin(self, place: int) -> None:
        self._counts[place] = 0

    def end(self, place: int) -> None:
        self._counts[place] = self.NOBODY

    def add(self, place: int, connections: int) -> None:
        self._counts[place] += connections

    def is_ahead(self, place: int) -> bool:
        """Whether some other worker has fewer, by more than `LEAD`."""
        mine = self._counts[place]
        return any(self.NOBODY < other < mine - LEAD for other in self._counts)


class Door(StreamServer):  # type: ignore[misc]  # as above
    """Takes connections in turn with the other workers.

    The kernel gives each to whoever wakes first, and where they are kept they stay: one worker was seen with 28
    of 32, and what came over these waited for it while the other one slept.
    """

    max_accept = 4

    def __init__(self, worker: Worker, listener: Any, pool: Any, **tls: Any) -> None:
        super().__init__(listener, handle=partial(worker.handle, listener), spawn=pool, **tls)
        self._place = worker.place
        self._has_waited = False

    def do_read(self) -> Any:
        """The next connection; None to leave it, for a moment, to a worker that has fewer."""
        if held.is_ahead(self._place) and not self._has_waited:
            self.stop_accepting()
            gevent.spawn(self._wait)
            return None
        self._has_waited = False
        taken = super().do_read()
        held.add(self._place, 1 if taken else 0)
        return taken

    def do_close(self, *taken: Any) -> None:
        """What follows each connection's end, whatever ended it."""
        held.add(self._place, -1)
        super().do_close(*taken)
        if not held.is_ahead(self._place):
            self._go_on()

    def _wait(self) -> None:
        for _ in range(TURN_MS):
            gevent.sleep(0.001)
            if not held.is_ahead(self._place):
                break
        else:
            self._has_waited = True
        self._go_on()

    def _go_on(self) -> None:
        if self.started:
            self.start_accepting()


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn carries no types
    """Gunicorn's gevent worker, with an end to every wait for a client and no request line in any log."""

    place = 0  # in `held`: `pre_fork` says which

    def server_class(self, listener: Any, *, spawn: Any, ssl_context: Any = None, **_: Any) -> Door:
        """What takes the connections of one address."""
        return Door(self, listener, spawn, **({"ssl_context": ssl_context} if ssl_context else {}))

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection; the TLS handshake is still to be made."""
        if isinstance(client, ssl.SSLSocket):
            try:
                with gevent.Timeout(HEADER_SECONDS):
                    client.do_handshake()
            except (OSError, gevent.Timeout):
                return
        super().handle(listener, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request; a client too slow for it loses the connection, without an answer."""
        try:
            with gevent.Timeout(REQUEST_SECONDS), OneWrite(sock) as answer:
                super().handle_request(listener_name, req, answer, addr)
        except gevent.Timeout:
            raise StopIteration from None  # how gunicorn's workers end a connection

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: BaseException) -> None:
        """Refuse what is not HTTP. Gunicorn's own method logs the request line, which may hold a token."""
        self.log.warning("connection.refused reason=%s", type(exc).__name__)
        if isinstance(exc, ParseException):
            with suppress(OSError):  # the client may be gone
                util.write(client, NOT_HTTP)


def pre_fork(server: Any, worker: Worker) -> None:
    """Give a worker a place of its own among those that take turns."""
    taken = {other.place for other in server.WORKERS.values()}
    worker.place = next(place for place in count() if place not in taken) % MOST_WORKERS
    held.begin(worker.place)


def child_exit(_server: Any, worker: Worker) -> None:
    """Have nobody wait for a worker that has ended."""
    held.end(worker.place)


def pre_request(_worker: Worker, req: Any) -> None:
    """Have gunicorn close the connection instead of reading the rest of a body that we refuse."""
    headers = dict(req.headers)
    declared = headers.get("CONTENT-LENGTH", "0")
    if "TRANSFER-ENCODING" in headers or not declared.isdecimal() or int(declared) > BODY_BYTES:
        req.force_close()


def post_worker_init(worker: Worker) -> None:
    """Have settings found where Python looks first, and what was imported left alone by every later collection."""
    # gunicorn's `Config` works each out anew whenever it is asked for, some twenty times a request
    worker.cfg.__dict__.update({name: setting.get() for name, setting in worker.cfg.settings.items()})
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_PER_COLLECTION)


def ssl_context(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Leave the handshake to `Worker.handle`, which bounds it."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.wrap_socket = partial(context.wrap_socket, do_handshake_on_connect=False)  # type: ignore[method-assign]
    return context


def _address(env: Mapping[str, str]) -> str:
    host, port = env.get("HOST") or "127.0.0.1", env.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError([f"PORT must be a port number, got {port!r}"])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls_files(env: Mapping[str, str]) -> tuple[str, str] | tuple[None, None]:
    names = ("CALLSHEET_TLS_CERT", "CALLSHEET_TLS_KEY")
    cert, key = (env.get(name, "") for name in names)
    if not cert and not key:
        return None, None
    missing = [name for name in names if not Path(env.get(name, "")).is_file()]
    if missing:
        raise SettingsError([f"{name} must name a file: TLS needs both {' and '.join(names)}" for name in missing])
    return cert, key


def _check_settings() -> None:
    """End this process, with one line, where the environment cannot be used.

    A child judges, because of what settings and adapters import. Were it left to the workers, the
    second one to refuse would meet gunicorn while it stops for the first: a traceback.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))
        return
    status = 0
    try:
        from worker import providers
        from worker.settings.settings import Settings

        providers.build(Settings.from_env(os.environ))
    except SettingsError as err:
        os.write(sys.stderr.fileno(), f"callsheet: {err}\n".encode())
        status = 1
    finally:
        os._exit(status)  # whatever else may be wrong, the workers tell


try:
    _check_settings()
    bind = _address(os.environ)
    certfile, keyfile = _tls_files(os.environ)
except SettingsError as err:
    sys.exit(f"callsheet: {err}")

held = Held()
worker_class = Worker
workers = 2
worker_connections = 1000
keepalive = HEADER_SECONDS
graceful_timeout = REQUEST_SECONDS
backlog = 1024
limit_request_line = 1024  # ours are below 200
limit_request_fields = 64
limit_request_field_size = 4096
forwarded_allow_ips = ""  # nothing here depends on what a proxy says of the client
accesslog = None  # it would hold paths, and they hold tokens
control_socket_disable = True  # all servers of a user would share one path
