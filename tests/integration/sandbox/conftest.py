"""A sandbox in this process, somebody who takes its callbacks, and somebody who calls it."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3

from deploy.local.tls import LocalTls
from deploy.sandbox.client import SandboxControl
from deploy.sandbox.clock import Clock
from deploy.sandbox.sandbox import Options
from deploy.sandbox.server import SandboxServer

START = 1_795_000_000.0
GMI = "/gmicloud/api/v1/ie/requestqueue/apikey/requests"
EVOLINK = "/evolink/v1"
APIMART = "/apimart/v1"


@dataclass
class Reply:
    """An HTTP answer, read whole."""

    status: int
    headers: urllib3.HTTPHeaderDict
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class Caller:
    """Calls the sandbox as a user's service would."""

    def __init__(self, url: str, tls: LocalTls) -> None:
        self.url = url
        self.pool = urllib3.PoolManager(ssl_context=tls.context(), retries=False, timeout=20.0)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "k",
        scheme: str = "Bearer",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        sent = {"Authorization": f"{scheme} {key}"} if key is not None else {}
        url = path if path.startswith("https://") else self.url + path
        payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        response = self.pool.request(
            method, url, body=payload, headers=sent | (headers or {}), redirect=False, decode_content=False
        )
        return Reply(response.status, response.headers, response.data)

    def get(self, path: str, **options: Any) -> Reply:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> Reply:
        return self.call("POST", path, body, **options)

    def submit_gmi(self, model: str = "kling-3.0-turbo-t2v", **payload: Any) -> str:
        body = {"model": model, "payload": payload or {"prompt": "a corgi"}}
        return str(self.post(GMI, body).json()["request_id"])

    def submit_evolink(self, callback_url: str | None = None, **fields: Any) -> str:
        body = {"model": "kling-v3-turbo-image-to-video", "image_start": "https://cdn.example.com/a.png", **fields}
        if callback_url:
            body["callback_url"] = callback_url
        return str(self.post(f"{EVOLINK}/videos/generations", body).json()["id"])

    def submit_apimart(self, **fields: Any) -> str:
        body = {"model": "kling-3.0-turbo", **(fields or {"prompt": "a corgi"})}
        return str(self.post(f"{APIMART}/videos/generations", body).json()["data"][0]["task_id"])

    def gmi(self, request_id: str) -> Any:
        return self.get(f"{GMI}/{request_id}").json()

    def evolink(self, request_id: str) -> Any:
        return self.get(f"{EVOLINK}/tasks/{request_id}").json()

    def apimart(self, request_id: str) -> Any:
        return self.get(f"{APIMART}/tasks/{request_id}").json()["data"]


@dataclass
class Received:
    """One callback as it arrived."""

    path: str
    body: Any
    content_type: str
    at: float
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    raw: bytes = b""


@dataclass
class Receiver:
    """Takes callbacks over HTTPS; answers with *statuses* in turn, then 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    together: threading.Barrier | None = None  # when set, an answer waits until that many are here

    def bodies(self) -> list[Any]:
        return [item.body for item in self.received]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                body = json.loads(raw)
            except ValueError:
                body = raw
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            headers = {name.lower(): value for name, value in self.headers.items()}
            came = Received(self.path, body, self.headers["Content-Type"], time.monotonic(), headers, raw)
            receiver.received.append(came)
            if receiver.together:
                receiver.together.wait(timeout=10)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


@pytest.fixture
def serve_callbacks() -> Iterator[Callable[[LocalTls], Receiver]]:
    """Start a receiver with the certificate given."""
    servers: list[ThreadingHTTPServer] = []

    def start(tls: LocalTls) -> Receiver:
        receiver = Receiver()
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
        server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.cert_file, tls.key_file)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        receiver.url = f"https://127.0.0.1:{server.server_address[1]}/callbacks/evolink/job-1/1/secret-token"
        return receiver

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(serve_callbacks: Callable[[LocalTls], Receiver], tls: LocalTls) -> Receiver:
    """Somebody who takes callbacks."""
    return serve_callbacks(tls)


@pytest.fixture
def options(tls: LocalTls) -> Options:
    """The options of a test's sandbox; a generation takes a minute unless the clock is moved."""
    return Options(generation_seconds=60.0, allow_loopback_callbacks=True, ca_file=str(tls.ca_file))


@pytest.fixture
def server(tls: LocalTls, options: Options) -> Iterator[SandboxServer]:
    """A sandbox of this test's own; its clock stands still but for `control.advance`."""
    clock = Clock(lambda: START)
    with SandboxServer(options, cert_file=str(tls.cert_file), key_file=str(tls.key_file), clock=clock) as running:
        yield running


@pytest.fixture
def caller(server: SandboxServer, tls: LocalTls) -> Iterator[Caller]:
    caller = Caller(server.url, tls)
    yield caller
    caller.pool.clear()


@pytest.fixture
def control(server: SandboxServer, tls: LocalTls) -> SandboxControl:
    return SandboxControl(server.url, tls.ca_file)
