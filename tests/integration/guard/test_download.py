"""Answers of real hosts that a download takes, and those that it refuses."""

from __future__ import annotations

import logging
import socket
import threading
import tracemalloc

import pytest

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import (
    CANARY,
    CLIP,
    MIB,
    fetch,
    guard,
    refusal,
    reset,
)
from tests.integration.hosts import Host, Talk, chunked, ok, status
from worker.errors import LinkDeadError
from worker.guard.download import Downloader
from worker.guard.response import BodyEnd

# What comes as it should


def test_a_body_comes_whole_with_its_declared_length(host: Host, downloader: Downloader) -> None:
    url = host.answer(ok(CLIP, "Content-Type: text/plain"))

    with downloader.open(url) as download:
        body = b"".join(download.chunks())

    assert body == CLIP
    assert download.declared_bytes == len(CLIP)


DECLARED = {
    "length": ok(CLIP),
    "closing": ok(CLIP, "Connection: close"),
    "more than declared": ok(CLIP) + bytes(100_000),
    "chunked": chunked(CLIP[:1], CLIP[1:1000], CLIP[1000:]),
    "chunked and closing": chunked(CLIP).replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
    "trailers": chunked(CLIP, end=b"0;last\r\nTrailer: x\r\n\r\n"),
    "no end behind the last chunk": chunked(CLIP, end=b"0\r\n"),
    "lines that end with LF alone": ok(CLIP).replace(b"\r\n", b"\n", 2),
    "HTTP/1.0": ok(CLIP).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no reason phrase": ok(CLIP).replace(b" OK", b""),
    "Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(CLIP),
    "Early Hints": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" * 3 + ok(CLIP),
    "Processing": b"HTTP/1.1 102 Processing\r\n\r\n" + ok(CLIP),
    "identity": ok(CLIP, "Content-Encoding: identity"),
    "length said twice": ok(CLIP, f"Content-Length: {len(CLIP)}"),
    "length said twice in one line": ok(CLIP).replace(b"Length: ", b"Length: %d, " % len(CLIP)),
    "identity as transfer coding": ok(CLIP, "Transfer-Encoding: identity"),
    "unknown transfer coding": ok(CLIP, "Transfer-Encoding: xchunked"),
    "chunked in capitals": chunked(CLIP).replace(b"chunked", b"Chunked"),
    "chunked beside a length": chunked(CLIP).replace(b"\r\n", b"\r\nContent-Length: 7\r\n", 1),
    "203": ok(CLIP).replace(b"200 OK", b"203 Non-Authoritative Information"),
    "206 with the whole": ok(CLIP, f"Content-Range: bytes 0-{len(CLIP) - 1}/{len(CLIP)}").replace(
        b"200 OK", b"206 Partial Content", 1
    ),
    "206 with the whole in chunks": chunked(CLIP).replace(
        b"200 OK", b"206 Partial\r\nContent-Range: bytes 0-%d/%d" % (len(CLIP) - 1, len(CLIP))
    ),
    "a line without a colon": ok(CLIP).replace(b"OK\r\n", b"OK\r\nno colon\r\n"),
    "a folded line": ok(CLIP).replace(b"OK\r\n", b"OK\r\nX-Note: a\r\n  b\r\n"),
}


@pytest.mark.parametrize("ends_in_order", [True, False], ids=["close_notify", "no close_notify"])
@pytest.mark.parametrize("answer", DECLARED.values(), ids=DECLARED)
def test_a_body_that_declares_its_end_comes_whole_however_tls_ends(
    host: Host, downloader: Downloader, answer: bytes, ends_in_order: bool
) -> None:
    host.ends_in_order = ends_in_order

    with downloader.open(host.answer(answer)) as download:
        body = b"".join(download.chunks())

    assert body == CLIP
    assert download.end is BodyEnd.DECLARED


UNDECLARED = {
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + CLIP,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + CLIP,
}


@pytest.mark.parametrize("answer", UNDECLARED.values(), ids=UNDECLARED)
def test_a_body_without_a_length_is_whole_when_tls_ends_in_order(
    host: Host, downloader: Downloader, answer: bytes
) -> None:
    with downloader.open(host.answer(answer)) as download:
        body = b"".join(download.chunks())

    assert body == CLIP
    assert download.end is BodyEnd.CLOSED


@pytest.mark.parametrize("answer", UNDECLARED.values(), ids=UNDECLARED)
def test_a_body_without_a_length_or_an_end_in_order_has_no_certain_end(
    host: Host, downloader: Downloader, answer: bytes
) -> None:
    host.ends_in_order = False

    with downloader.open(host.answer(answer)) as download:
        body = b"".join(download.chunks())

    assert body == CLIP
    assert download.end is BodyEnd.UNKNOWN


def test_a_body_without_a_length_declares_none(host: Host, downloader: Downloader) -> None:
    url = host.answer(chunked(CLIP))

    with downloader.open(url) as download:
        assert download.declared_bytes is None


def test_we_ask_for_the_bytes_as_they_are_and_say_nothing_else(host: Host, downloader: Downloader) -> None:
    url = host.answer(ok(CLIP))

    fetch(downloader, f"{url}?sig=a%2Fb")

    request, *headers = host.heads[0].strip().splitlines()
    assert request == "GET /video.mp4?sig=a%2Fb HTTP/1.1"
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: */*",
        "Connection: close",
        f"Host: localhost:{host.port}",
        "User-Agent: callsheet",
    ]


def test_proxies_of_the_environment_are_not_used(
    host: Host, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert fetch(downloader, host.answer(ok(CLIP))) == CLIP


def test_memory_stays_small_whatever_the_body(host: Host, downloader: Downloader) -> None:
    chunk = bytes(MIB)
    url = host.answer(lambda talk: talk.say(ok(b"", length=64 * MIB), *[chunk] * 64))

    tracemalloc.start()
    with downloader.open(url) as download:
        received = sum(len(chunk) for chunk in download.chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert received == 64 * MIB
    assert peak < 8 * MIB


# What the host says


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_link_that_is_gone_is_told_apart(host: Host, downloader: Downloader, code: int) -> None:
    error = refusal(downloader, host.answer(status(code)))

    assert isinstance(error, LinkDeadError)
    assert str(code) in str(error)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(429, "Retry-After: 5"), "busy"),
        (status(500), "busy"),
        (status(503), "busy"),
        (status(401, 'WWW-Authenticate: Basic realm="x"'), "status"),
        (status(204), "status"),
        (status(206), "status"),
        (status(206, "Content-Type: multipart/byteranges; boundary=x"), "status"),
        (status(206, "Content-Range: bytes 1-2/3"), "status"),
        (status(206, "Content-Range: bytes 0-1/*"), "status"),
        (status(206, "Content-Range: bytes 0-1/2"), "truncated"),
        (status(416, "Content-Range: bytes */0"), "status"),
        (status(304), "status"),
        (status(400), "status"),
        (ok(CLIP, "Content-Length: 7"), "headers"),
        (ok(CLIP, f"Content-Length: {len(CLIP)}, 7"), "headers"),
        (ok(CLIP, length=-1), "headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789", "headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n01234", "headers"),
        (ok(b"", length=10 * 1024**3), "too_large"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12_000 + b"\r\n", "headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cut"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "status"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * MIB + b"\r\n\r\n", "headers"),
        (b"HTTP/9.9 200 OK\r\n\r\n", "protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (CLIP, "protocol"),
        (b"", "cut"),
    ],
)
def test_an_answer_we_cannot_use_is_refused_by_its_kind(
    host: Host, downloader: Downloader, answer: bytes, reason: str
) -> None:
    error = refusal(downloader, host.answer(answer))

    assert error.reason == reason
    assert not isinstance(error, LinkDeadError)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(CLIP[:-1], length=len(CLIP)), "truncated"),
        (ok(b"", length=1), "truncated"),
        (chunked(CLIP, end=b""), "truncated"),
        (chunked(CLIP, end=b"ff\r\nshort"), "truncated"),
        (chunked(CLIP, end=b"5\r\n01234XX"), "truncated"),
        (chunked(CLIP, end=b"-1\r\n" + CLIP), "protocol"),
        (chunked(CLIP, end=b"0x10\r\n" + CLIP), "protocol"),
        (chunked(CLIP, end=b"\r\n"), "protocol"),
        (chunked(CLIP, end=b"1;" + b"x" * 300 + b"\r\n"), "truncated"),
    ],
)
def test_a_body_that_does_not_end_as_it_should_is_refused(
    host: Host, downloader: Downloader, answer: bytes, reason: str
) -> None:
    assert refusal(downloader, host.answer(answer)).reason == reason


POINTS = {
    "before the answer": b"",
    "in the status line": b"HTTP/1.1 20",
    "behind the status line": b"HTTP/1.1 200 OK\r\n",
    "in a field": b"HTTP/1.1 200 OK\r\nContent-Le",
    "behind a field": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
    "behind an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "before the body": ok(b"", length=len(CLIP)),
    "in the body": ok(CLIP[:-1], length=len(CLIP)),
    "before a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "in a chunk's size": chunked(CLIP, end=b"a"),
    "in a chunk": chunked(CLIP, end=b"ff\r\nshort"),
    "behind a chunk": chunked(CLIP, end=b"5\r\n01234"),
    "before the last chunk": chunked(CLIP, end=b""),
}


@pytest.mark.parametrize("end", ["close_notify", "no close_notify", "reset"])
@pytest.mark.parametrize("said", POINTS.values(), ids=POINTS)
def test_a_connection_that_ends_before_the_body_does_is_told(
    host: Host, downloader: Downloader, said: bytes, end: str
) -> None:
    host.ends_in_order = end == "close_notify"

    def say_and_end(talk: Talk) -> None:
        talk.say(said)
        if end == "reset":
            reset(talk)

    assert refusal(downloader, host.answer(say_and_end)).reason in ("cut", "truncated")


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x03\x00\x7a", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100)])
@pytest.mark.parametrize("reads_first", [True, False])
def test_a_host_that_ends_within_the_handshake_is_told(tls: LocalTls, said: bytes, reads_first: bool) -> None:
    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            if reads_first:
                connection.recv(65536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=answer, args=(listener,))
        answering.start()
        error = refusal(guard(tls), f"https://localhost:{listener.getsockname()[1]}/video.mp4")
        answering.join()

    assert error.reason == "tls"


# What stays unsaid


def test_no_log_line_holds_any_of_the_link(
    host: Host, downloader: Downloader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = host.answer(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n" + CLIP)

    with downloader.open(f"{url}?{CANARY}") as download:
        list(download.chunks())

    assert CANARY not in caplog.text


def test_a_connection_is_closed_when_its_reader_leaves(host: Host, downloader: Downloader) -> None:
    def pour(talk: Talk) -> None:
        talk.say(ok(b"", length=2**30))
        talk.repeat(bytes(65536))

    def leave_early() -> None:
        with downloader.open(host.answer(pour)) as download:
            next(download.chunks())
            raise KeyError

    with pytest.raises(KeyError):
        leave_early()
