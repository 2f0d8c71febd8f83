"""Downloads from the servers that most CDNs and relays run: nginx and Node, as they end TLS themselves."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.health import http_answers
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.sandbox_process import ANY_STATUS
from deploy.local.tls import LocalTls
from worker.guard.addresses import Address
from worker.guard.download import Downloader
from worker.guard.response import BodyEnd

LOOPBACK_NETWORK = (ipaddress.ip_network("127.0.0.0/8"),)
FILM = bytes(range(256)) * 4096

NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address} ssl;
        ssl_certificate {tls.cert_file};
        ssl_certificate_key {tls.key_file};
        root {directory}/films;
        location /kept/ {{ alias {directory}/films/; }}
        location /closed/ {{ alias {directory}/films/; keepalive_timeout 0; }}
        location /moved/ {{ return 302 /closed/film.mp4; }}
    }}
}}
"""

NODE = """
const fs = require("fs");
const film = fs.readFileSync(FILM);
const answers = {
  "/kept/film.mp4": { "Content-Length": film.length },
  "/closed/film.mp4": { "Content-Length": film.length, "Connection": "close" },
  "/chunked/film.mp4": { "Connection": "close" },
  "/moved/film.mp4": { "Location": "/closed/film.mp4", "Connection": "close" },
};
require("https").createServer({ cert: fs.readFileSync(CERT), key: fs.readFileSync(KEY) }, (request, response) => {
  const headers = answers[request.url];
  response.writeHead(headers ? (headers.Location ? 302 : 200) : 404, headers);
  if (headers && !headers.Location) response.write(film);
  response.end();
}).listen(PORT, "127.0.0.1");
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hosts")
    (directory / "films").mkdir()
    (directory / "films" / "film.mp4").write_bytes(FILM)
    return directory


@pytest.fixture(scope="module")
def nginx(tls: LocalTls, directory: Path) -> Iterator[str]:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    port = free_port()
    conf = directory / "nginx.conf"
    conf.write_text(NGINX.format(directory=directory, address=f"{LOOPBACK}:{port}", tls=tls))
    with running("nginx", [program, "-c", str(conf), "-p", str(directory)], port, tls, directory) as url:
        yield url


@pytest.fixture(scope="module")
def node(tls: LocalTls, directory: Path) -> Iterator[str]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed (Debian: nodejs)")
    port = free_port()
    named = {
        "FILM": str(directory / "films" / "film.mp4"),
        "CERT": str(tls.cert_file),
        "KEY": str(tls.key_file),
        "PORT": port,
    }
    script = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in named.items()) + NODE
    with running("node", ["node", "-e", script], port, tls, directory) as url:
        yield url


@contextmanager
def running(name: str, command: list[str], port: int, tls: LocalTls, directory: Path) -> Iterator[str]:
    url = f"https://{LOOPBACK}:{port}"
    process = Process(
        name,
        command,
        directory=directory,
        logs=directory,
        env={"PATH": os.environ["PATH"]},
        is_ready=http_answers(url, context=tls.context(), good=ANY_STATUS),
    )
    process.start()
    try:
        yield url
    finally:
        process.stop()


@pytest.mark.parametrize("path", ["/kept/film.mp4", "/closed/film.mp4", "/moved/film.mp4"])
def test_a_film_comes_whole_from_nginx(nginx: str, tls: LocalTls, path: str) -> None:
    assert fetched(nginx + path, tls) == (FILM, BodyEnd.DECLARED)


@pytest.mark.parametrize("path", ["/kept/film.mp4", "/closed/film.mp4", "/chunked/film.mp4", "/moved/film.mp4"])
def test_a_film_comes_whole_from_node(node: str, tls: LocalTls, path: str) -> None:
    assert fetched(node + path, tls) == (FILM, BodyEnd.DECLARED)


def test_a_download_from_nginx_that_was_cut_goes_on_at_the_byte(nginx: str, tls: LocalTls) -> None:
    connections: list[socket.socket] = []

    def dial(address: Address, port: int, timeout_seconds: float) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # the film does not fit
        sock.settimeout(timeout_seconds)
        sock.connect((str(address), port))
        connections.append(sock.dup())
        return sock

    downloader = Downloader(ca_file=str(tls.ca_file), allow_networks=LOOPBACK_NETWORK, dial=dial)
    with downloader.open(f"{nginx}/closed/film.mp4") as download:
        chunks = download.chunks()
        body = next(chunks)
        connections[0].shutdown(socket.SHUT_RDWR)
        body += b"".join(chunks)

    assert body == FILM
    assert len(connections) == 2
    for connection in connections:
        connection.close()


def fetched(url: str, tls: LocalTls) -> tuple[bytes, BodyEnd | None]:
    downloader = Downloader(ca_file=str(tls.ca_file), allow_networks=LOOPBACK_NETWORK)
    with downloader.open(url) as download:
        return b"".join(download.chunks()), download.end
