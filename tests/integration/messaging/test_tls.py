"""Broker and results over TLS: nothing is said to whoever has no certificate for the name."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.tls import LocalTls

ROOT = Path(__file__).parents[3]
PASSWORD = "password-for-the-broker"
CONNECT = {
    "broker": "app.connection_for_write().ensure_connection(max_retries=1, interval_start=0, timeout=5)",
    "results": "app.backend.client.ping()",
}


class Listener:
    """Takes TLS connections on two loopback addresses; remembers what was said on them."""

    def __init__(self, tls: LocalTls) -> None:
        self.heard: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(tls.cert_file, tls.key_file)
        self._socket = socket.create_server(("0.0.0.0", 0))  # for 127.0.0.2, which no certificate names
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            plain.settimeout(5)
            try:
                with self._context.wrap_socket(plain, server_side=True) as secured:
                    self.heard.append(secured.recv(4096))
            except OSError:
                plain.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def listener(tls: LocalTls) -> Iterator[Listener]:
    listener = Listener(tls)
    yield listener
    listener.close()


def connect(what: str, url: str, *, ca_file: str = "") -> None:
    """Have a process of ours connect to *url*, trusting *ca_file* as the system's roots; it cannot succeed."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "CALLSHEET_REDIS_URL": url if url.startswith("rediss") else "redis://127.0.0.1:1/0",
        "CALLSHEET_BROKER_URL": url,
        "CALLSHEET_BUCKET": "bucket",
        "EVOLINK_API_KEY": "key",
        **({"SSL_CERT_FILE": ca_file} if ca_file else {}),
    }
    script = f"from worker.celery import app\n{CONNECT[what]}\n"
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1, ended.stderr


@pytest.mark.parametrize(
    ("what", "scheme"), [("broker", "rediss"), ("results", "rediss"), ("broker", "amqps")], ids="-".join
)
def test_a_password_is_told_to_nobody_but_the_certified_host(
    what: str, scheme: str, listener: Listener, tls: LocalTls
) -> None:
    trusted, other_name = "127.0.0.1", "127.0.0.2"

    connect(what, f"{scheme}://user:{PASSWORD}@{trusted}:{listener.port}/0")
    connect(what, f"{scheme}://user:{PASSWORD}@{other_name}:{listener.port}/0", ca_file=str(tls.ca_file))
    assert listener.heard == []

    connect(what, f"{scheme}://user:{PASSWORD}@{trusted}:{listener.port}/0", ca_file=str(tls.ca_file))
    assert listener.heard
    assert all(listener.heard)


def test_the_url_may_name_a_ca_of_its_own(listener: Listener, tls: LocalTls) -> None:
    for what in CONNECT:
        connect(what, f"rediss://user:{PASSWORD}@127.0.0.1:{listener.port}/0?ssl_ca_certs={tls.ca_file}")

    assert [PASSWORD.encode() in said for said in listener.heard] == [True] * len(listener.heard)
    assert len(listener.heard) >= len(CONNECT)
