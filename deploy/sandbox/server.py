"""The HTTPS listener around the sandbox.

One thread per connection, HTTP/1.1 with keep-alive. The TLS handshake happens in
the connection's own thread, so a silent client holds up nobody. TLS ends with
close_notify, as nginx ends it, unless a rule says otherwise.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from types import TracebackType
from typing import Any

from deploy.sandbox.clock import Clock
from deploy.sandbox.connection import Connection
from deploy.sandbox.sandbox import Options, Sandbox

MOST_CONNECTIONS = 1000
HANDSHAKE_SECONDS = 10


class _Listener(socketserver.ThreadingTCPServer):
    """Takes connections, at most so many, and ends them all at once when told to."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext, sandbox: Sandbox) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Connection)
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self.url = _url(_reachable(address[0]), self.server_address[1])
        self._own_address = (_reachable(address[0]), int(self.server_address[1]))
        self._tls = tls
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._open: set[ssl.SSLSocket] = set()

    def serve(self) -> None:
        """Take connections until `end`."""
        while not self.stopping.is_set():
            try:
                connection, client_address = self.get_request()
            except OSError:  # no file descriptor left, or a client that went at once
                self.stopping.wait(0.05)
                continue
            self.process_request(connection, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(HANDSHAKE_SECONDS)
        # A client that goes, or never spoke TLS, is its own affair.
        with contextlib.suppress(OSError), self._tls.wrap_socket(request, server_side=True) as connection:
            self._open.add(connection)
            try:
                if Connection(connection, client_address, self).says_goodbye:
                    connection.settimeout(0)  # as nginx does: say it, and do not wait for the client to say the same
                    connection.unwrap()
            except ValueError:
                pass  # closed already: reset on purpose, or by `end`
            finally:
                self._open.discard(connection)

    def end(self) -> None:
        """Take no more connections and end those that are open."""
        self.stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(self._own_address, timeout=1):
            pass  # wakes `serve`
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _reachable(host: str) -> str:
    """An address that leads to a socket bound to *host*."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _url(host: str, port: Any) -> str:
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class SandboxServer:
    """A running sandbox; use it in a `with` block, or `start` and `stop` it.

    Port 0 takes a free one; `url` says which.
    """

    def __init__(
        self,
        options: Options,
        *,
        cert_file: str,
        key_file: str,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
    ) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert_file, key_file)
        self.sandbox = Sandbox(options, clock=clock)
        self._listener = _Listener((host, port), tls, self.sandbox)
        self._thread = threading.Thread(target=self._listener.serve, name="sandbox-accept")
        self.url = self._listener.url

    def base_url(self, provider: str) -> str:
        return f"{self.url}/{provider}"

    def start(self) -> None:
        self.sandbox.start()
        self._thread.start()

    def stop(self) -> None:
        self._listener.end()
        self._thread.join()
        self._listener.server_close()
        self.sandbox.stop()

    def __enter__(self) -> SandboxServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
