"""An S3 that keeps no bytes: it reads bodies as fast as the socket gives them and remembers only what is there.

    python -m tests.benchmarks.sink --port 9123 [--cert FILE --key FILE] [--source FILE]

What it keeps is what Callsheet relies on: `If-None-Match`, user metadata, lengths, small documents and their checksums.
With --source it also serves that file under `/source`, so that one process is both ends of a download and an upload.
`/slow?0.5` has every later request wait half a second.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import signal
import socketserver
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click

from deploy.local.health import http_answers
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.sandbox_process import ANY_STATUS, SOURCE
from deploy.local.tls import LocalTls

BUCKET = "sink"
PIECE_BYTES = 1024 * 1024


@dataclass
class State:
    """The objects by path: how long each is, and its metadata as header lines."""

    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    source: memoryview = field(default_factory=lambda: memoryview(b""))
    put_bytes: int = 0
    slow_seconds: float = 0.0


class Handler(socketserver.StreamRequestHandler):
    """One connection, kept alive."""

    disable_nagle_algorithm = True

    def setup(self) -> None:
        tls: ssl.SSLContext | None = self.server.tls  # type: ignore[attr-defined]  # set by serve()
        if tls is not None:
            self.request = tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.state: State = self.server.state  # type: ignore[attr-defined]  # set by serve()
        self.scratch = memoryview(bytearray(PIECE_BYTES))

    def finish(self) -> None:
        """End TLS as nginx ends it: with close_notify, and without waiting for the client's."""
        super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(0)
            with contextlib.suppress(OSError):
                self.request.unwrap()

    def handle(self) -> None:
        while (line := self.rfile.readline(65536)) and self._serve(line.split()):
            pass

    def _serve(self, words: list[bytes]) -> bool:
        headers: dict[bytes, bytes] = {}
        while (line := self.rfile.readline(65536)) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, target = words[0].decode(), urlsplit(words[1].decode())
        is_document = target.path.endswith(".json") or "/.callsheet/" in target.path
        self.document = self.rfile.read(int(headers.get(b"content-length", b"0"))) if is_document else b""
        body = len(self.document) if is_document else self._read(headers)
        if target.path == "/source":
            self._answer(200, b"Content-Type: video/mp4\r\n", self.state.source)
        elif target.path == "/slow":
            self.state.slow_seconds = float(target.query)
            self._answer(204)
        else:
            time.sleep(self.state.slow_seconds)
            query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
            self._object(method, target.path, query, headers, body)
        return headers.get(b"connection", b"").lower() != b"close"

    def _read(self, headers: dict[bytes, bytes]) -> int:
        """Take the body and forget it; how long it was."""
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return self._read_chunks()
        length = int(headers.get(b"content-length", b"0"))
        self._discard(length)
        return int(headers.get(b"x-amz-decoded-content-length", length))

    def _discard(self, left: int) -> None:
        while left > 0:
            left -= self.rfile.readinto(self.scratch[: min(left, PIECE_BYTES)]) or left

    def _read_chunks(self) -> int:
        total = 0
        while size := int(self.rfile.readline(1024).partition(b";")[0], 16):
            self._discard(size)
            self.rfile.readline(1024)
            total += size
        while self.rfile.readline(1024).strip():
            pass
        return total

    def _object(self, method: str, path: str, query: dict[str, str], headers: dict[bytes, bytes], size: int) -> None:
        state, kept = self.state, _metadata(headers)
        is_bucket = path.strip("/").count("/") == 0
        if method == "PUT" and self.document and _is_damaged(self.document, headers):
            self._xml("<Error><Code>BadDigest</Code></Error>", 400)
            return
        with state.lock:
            state.put_bytes += size
            found = state.objects.get(path)
            if method == "POST" and "uploads" in query:
                upload = f"u{len(state.parts)}"
                state.parts[upload] = {}
                state.objects[f"{path}?{upload}"] = (0, kept)
                self._xml(
                    f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                )
            elif method == "PUT" and "uploadId" in query:
                state.parts[query["uploadId"]][query["partNumber"]] = size
                self._answer(200, b'ETag: "part"\r\n')
            elif b"if-none-match" in headers and found is not None:
                self._xml("<Error><Code>PreconditionFailed</Code></Error>", 412)
            elif method == "POST":
                _, kept = state.objects.pop(f"{path}?{query['uploadId']}", (0, b""))
                state.objects[path] = (sum(state.parts.pop(query["uploadId"], {}).values()), kept)
                self._xml('<CompleteMultipartUploadResult><ETag>"all"</ETag></CompleteMultipartUploadResult>')
            elif method == "PUT":
                state.objects[path] = (size, kept)
                state.documents[path] = self.document
                self._answer(200, b'ETag: "one"\r\n')
            elif method == "DELETE":
                state.objects.pop(path, None)
                self._answer(204)
            elif is_bucket or found:
                length, lines = found or (0, b"")
                held = memoryview(state.documents.get(path, b"")) if method == "GET" else None
                self._answer(200, lines, held, declared=length)
            else:
                self._answer(404)

    def _xml(self, text: str, status: int = 200) -> None:
        self._answer(status, b"Content-Type: application/xml\r\n", memoryview(text.encode()))

    def _answer(self, status: int, lines: bytes = b"", body: memoryview | None = None, *, declared: int = 0) -> None:
        length = len(body) if body is not None else declared
        self.request.sendall(b"HTTP/1.1 %d -\r\n%bContent-Length: %d\r\n\r\n" % (status, lines, length))
        for start in range(0, len(body or b""), PIECE_BYTES):
            self.request.sendall(body[start : start + PIECE_BYTES])  # type: ignore[index]  # there is one, or no piece


def _is_damaged(document: bytes, headers: dict[bytes, bytes]) -> bool:
    digest = headers.get(b"x-amz-checksum-sha256")
    return digest is not None and digest != base64.b64encode(hashlib.sha256(document).digest())


def _metadata(headers: dict[bytes, bytes]) -> bytes:
    kept = (name for name in headers if name.startswith(b"x-amz-meta-") or name == b"content-type")
    return b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in kept)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class Sink:
    """The sink as a process of its own; `url`, and `env` for boto3."""

    def __init__(self, directory: Path, *, tls: LocalTls | None = None, source: Path | None = None) -> None:
        port = free_port()
        self.url = f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"
        self.env = {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "sink",
            "AWS_SECRET_ACCESS_KEY": "sink-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "CALLSHEET_BUCKET": BUCKET,
            **({"AWS_CA_BUNDLE": str(tls.ca_file)} if tls else {}),
        }
        options = ["--cert", str(tls.cert_file), "--key", str(tls.key_file)] if tls else []
        options += ["--source", str(source)] if source else []
        self.process = Process(
            "sink-tls" if tls else "sink",
            [sys.executable, "-m", "tests.benchmarks.sink", "--port", str(port), *options],
            directory=SOURCE,
            logs=directory,
            env={"PATH": os.environ["PATH"]},
            is_ready=http_answers(self.url + "/sink", context=tls.context() if tls else None, good=ANY_STATUS),
        )

    def __enter__(self) -> Sink:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--cert")
@click.option("--key")
@click.option("--source", type=click.Path(exists=True, path_type=Path))
def serve(port: int, cert: str | None, key: str | None, source: Path | None) -> None:
    """Serve until SIGTERM."""
    server = _Server((LOOPBACK, port), Handler)
    state, tls = State(), None
    if cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
    if source:
        state.source = memoryview(source.read_bytes())
    server.tls, server.state = tls, state  # type: ignore[attr-defined]  # for its handlers
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    serve()
