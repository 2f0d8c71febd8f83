"""A real HTTPS host whose every byte a test decides."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.local.tls import LocalTls

Answer = Callable[["Talk"], None]


@dataclass
class Talk:
    """One connection, its request's head read. `closing` is set when the test is over."""

    sock: ssl.SSLSocket
    head: str
    closing: threading.Event

    @property
    def target(self) -> str:
        return self.head.split(" ")[1]

    def say(self, *parts: bytes) -> None:
        for part in parts:
            self.sock.sendall(part)

    def repeat(self, part: bytes) -> None:
        """Send *part* for as long as somebody listens."""
        while not self.closing.is_set():
            self.say(part)


@dataclass
class Host:
    """Answers each request by what `answers` says for its path."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    """One for each connection."""
    ends_in_order: bool = True
    """Whether the end of an answer is told by TLS (close_notify), as nginx does, or the connection just closes."""
    connections: list[ssl.SSLSocket] = field(default_factory=list)

    def url(self, path: str = "/video.mp4", name: str = "localhost") -> str:
        return f"https://{name}:{self.port}{path}"

    def answer(self, answer: Answer | bytes, path: str = "/video.mp4") -> str:
        """Set what *path* answers; returns its URL."""
        self.answers[path] = answer if callable(answer) else lambda talk: talk.say(answer)
        return self.url(path)


def ok(body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A 200 with *body*, whose Content-Length says *length* (its own by default)."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    lines = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + lines + end


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *headers]).encode() + b"\r\n\r\n"


@contextmanager
def serve(tls: LocalTls) -> Iterator[Host]:
    """A host on a loopback port, until the block ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = Host(listener.getsockname()[1])
        context.sni_callback = lambda _sock, name, _context: host.server_names.append(name)
        threads: list[threading.Thread] = []
        acceptor = threading.Thread(target=_accept, args=(listener, context, host, closing, threads))
        acceptor.start()
        try:
            yield host
        finally:
            closing.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for connection in host.connections:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # its own would end TLS under its reader
            for thread in (acceptor, *threads):
                thread.join(10)
                assert not thread.is_alive()


def _accept(
    listener: socket.socket,
    context: ssl.SSLContext,
    host: Host,
    closing: threading.Event,
    threads: list[threading.Thread],
) -> None:
    while not closing.is_set():
        try:
            raw, _ = listener.accept()
        except OSError:
            return
        thread = threading.Thread(target=_talk, args=(raw, context, host, closing))
        threads.append(thread)
        thread.start()


def _talk(raw: socket.socket, context: ssl.SSLContext, host: Host, closing: threading.Event) -> None:
    raw.settimeout(10)
    with raw, contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as sock:
        host.connections.append(sock)
        head = b""
        while b"\r\n\r\n" not in head:
            received = sock.recv(65536)
            if not received:
                return
            head += received
        host.heads.append(head.decode("latin-1"))
        talk = Talk(sock, host.heads[-1], closing)
        host.answers[talk.target.partition("?")[0]](talk)
        if host.ends_in_order:
            sock.settimeout(0)  # as nginx does: say it, and do not wait for the client to say the same
            sock.unwrap()
