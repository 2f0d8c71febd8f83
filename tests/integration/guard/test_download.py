"""The download guard against real hosts that misbehave, and against links that lead elsewhere."""

from __future__ import annotations

import gzip
import ipaddress
import itertools
import logging
import random
import socket
import threading
import traceback
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from deploy.local.tls import LocalTls
from deploy.sandbox.mp4 import make
from tests.integration.hosts import Answer, Host, Talk, chunked, ok, serve, status
from worker.errors import DownloadError, LinkDeadError
from worker.guard.addresses import Address
from worker.guard.connection import Limits
from worker.guard.download import FRUITLESS_RESUMES, MOST_RESUMES, Downloader
from worker.guard.response import BodyEnd

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CLIP = make(640, 360, 2)
CANARY = "X-Signature=canary-5f1e"
MIB = 2**20


@pytest.fixture
def host(tls: LocalTls) -> Iterator[Host]:
    with serve(tls) as host:
        yield host


@pytest.fixture
def downloader(tls: LocalTls) -> Downloader:
    return guard(tls)


def guard(tls: LocalTls, **options: object) -> Downloader:
    """A downloader for the loopback host, which also answers to any name."""
    given = {
        "ca_file": str(tls.ca_file),
        "allow_networks": LOOPBACK,
        "resolve": to_loopback,
        "sleep": lambda _seconds: None,
        **options,
    }
    return Downloader(**given)  # type: ignore[arg-type]  # options as the tests name them


def to_loopback(_host: str, _port: int) -> Sequence[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


def fetch(downloader: Downloader, url: str) -> bytes:
    with downloader.open(url) as download:
        return b"".join(download.chunks())


def refusal(downloader: Downloader, url: str) -> DownloadError:
    """The error that *url* meets; no part of the link may stand in it, nor in what caused it."""
    with pytest.raises(DownloadError) as caught:
        fetch(downloader, f"{url}?{CANARY}" if "?" not in url else url)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert "/video.mp4" not in told
    return caught.value


class Recorder:
    """Stands where connections are made, and makes none."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def __call__(self, address: Address, port: int, timeout_seconds: float) -> socket.socket:
        self.dialled.append(str(address))
        raise ConnectionRefusedError


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
def test_a_body_without_a_length_or_an_end_in_order_is_cut(host: Host, downloader: Downloader, answer: bytes) -> None:
    host.ends_in_order = False

    assert refusal(downloader, host.answer(answer)).reason == "cut"


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


# Who we talk to


def test_the_host_is_asked_for_by_name_at_the_address_that_was_checked(host: Host, tls: LocalTls) -> None:
    asked = []

    def resolve(name: str, _port: int) -> Sequence[Address]:
        asked.append(name)
        return to_loopback(name, 0)

    fetch(guard(tls, resolve=resolve), host.answer(ok(CLIP)))

    assert asked == ["localhost"]
    assert host.server_names == ["localhost"]


def test_a_certificate_for_another_name_is_refused_before_anything_is_asked(host: Host, tls: LocalTls) -> None:
    host.answer(ok(CLIP))

    error = refusal(guard(tls), host.url(name="cdn.example.com"))

    assert error.reason == "tls"
    assert host.heads == []


def test_a_certificate_that_nobody_vouches_for_is_refused(host: Host, tls: LocalTls) -> None:
    error = refusal(guard(tls, ca_file=None), host.answer(ok(CLIP)))

    assert error.reason == "tls"
    assert host.heads == []


def test_our_own_ca_is_trusted_beside_those_of_the_system(
    host: Host, tls: LocalTls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LocalTls(tmp_path).ensure()
    monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_file))
    downloader = guard(tls)

    with serve(other) as other_host:
        bodies = [fetch(downloader, here.answer(ok(CLIP))) for here in (host, other_host)]

    assert bodies == [CLIP, CLIP]


def test_an_address_can_stand_in_the_link_itself(host: Host, downloader: Downloader) -> None:
    host.answer(ok(CLIP))

    assert fetch(downloader, host.url(name="127.0.0.1")) == CLIP


def test_the_next_address_is_tried_when_one_does_not_answer(host: Host, tls: LocalTls) -> None:
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.2", "127.0.0.1")]

    body = fetch(guard(tls, resolve=lambda _host, _port: addresses), host.answer(ok(CLIP)))

    assert body == CLIP


# Where we do not go

BLOCKED = [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "fe80::1",
    "fd00:ec2::254",
]


@pytest.mark.parametrize("address", BLOCKED)
def test_a_name_that_leads_inside_is_refused_without_a_connection(address: str) -> None:
    dial = Recorder()
    downloader = Downloader(resolve=lambda _host, _port: [ipaddress.ip_address(address)], dial=dial)

    error = refusal(downloader, "https://metadata.google.internal/video.mp4")

    assert error.reason == "address"
    assert dial.dialled == []


@pytest.mark.parametrize("address", BLOCKED)
def test_an_address_inside_is_refused_without_a_connection(address: str) -> None:
    dial = Recorder()
    literal = f"[{ipaddress.ip_address(address)}]" if ":" in address else address

    error = refusal(Downloader(dial=dial), f"https://{literal}/video.mp4")

    assert error.reason == "address"
    assert dial.dialled == []


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    dial = Recorder()
    addresses = [ipaddress.ip_address(text) for text in ("93.184.216.34", "10.0.0.1")]

    error = refusal(Downloader(resolve=lambda _host, _port: addresses, dial=dial), "https://cdn.example.com/video.mp4")

    assert error.reason == "address"
    assert dial.dialled == []


def test_a_name_that_changes_its_address_is_reached_only_where_it_was_checked() -> None:
    dial = Recorder()
    answers = itertools.chain(["93.184.216.34"], itertools.repeat("127.0.0.1"))
    downloader = Downloader(resolve=lambda _host, _port: [ipaddress.ip_address(next(answers))], dial=dial)

    error = refusal(downloader, "https://rebinding.example/video.mp4")

    assert error.reason == "connect"
    assert dial.dialled == ["93.184.216.34"]


@pytest.mark.parametrize("url", ["https://cdn.example.com:22/video.mp4", "https://93.184.216.34:8443/video.mp4"])
def test_a_public_host_is_asked_on_port_443_only(url: str) -> None:
    dial = Recorder()
    downloader = Downloader(
        resolve=lambda _host, _port: [ipaddress.ip_address("93.184.216.34")], dial=dial, allow_networks=LOOPBACK
    )

    error = refusal(downloader, url)

    assert error.reason == "port"
    assert dial.dialled == []


@pytest.mark.parametrize(
    "url", ["http://localhost/video.mp4", "file:///etc/passwd", "https://user@localhost/video.mp4"]
)
def test_a_link_outside_the_grammar_is_refused_without_a_look(url: str) -> None:
    dial, asked = Recorder(), []

    def resolve(name: str, _port: int) -> Sequence[Address]:
        asked.append(name)
        return []

    error = refusal(Downloader(resolve=resolve, dial=dial), url)

    assert error.reason == "url"
    assert (dial.dialled, asked) == ([], [])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("media.example", "connect"),
        ("eu.cdn.media.example", "connect"),
        ("evilmedia.example", "host"),
        ("media.example.evil.com", "host"),
        ("93.184.216.34", "host"),
    ],
)
def test_only_the_hosts_of_the_allow_list_are_asked(name: str, reason: str) -> None:
    dial = Recorder()
    public = [ipaddress.ip_address("93.184.216.34")]
    downloader = Downloader(media_hosts=["media.example"], resolve=lambda _host, _port: public, dial=dial)

    error = refusal(downloader, f"https://{name}/video.mp4")

    assert error.reason == reason
    assert bool(dial.dialled) == (reason == "connect")


def test_a_name_without_an_address_is_told_apart() -> None:
    def unknown(_host: str, _port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    assert refusal(Downloader(resolve=unknown), "https://gone.example/video.mp4").reason == "resolve"
    assert refusal(Downloader(resolve=lambda *_: []), "https://gone.example/video.mp4").reason == "resolve"


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_what_the_first_host_said(host: Host, downloader: Downloader, code: int) -> None:
    host.answer(ok(CLIP), "/moved")
    url = host.answer(status(code, "Location: /moved?sig=2", "Set-Cookie: id=1; Secure", "Refresh: 0; url=/x"))

    body = fetch(downloader, f"{url}?sig=1")

    assert body == CLIP
    assert host.heads[1].startswith("GET /moved?sig=2 HTTP/1.1\r\n")
    assert not [word for word in ("cookie", "authorization", "referer") if word in host.heads[1].lower()]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("https://10.0.0.1/x", "address"),
        ("https://169.254.169.254/latest/meta-data/", "address"),
        ("https://[::1]/x", "address"),
        ("https://93.184.216.34:8443/x", "port"),
        ("http://localhost/x", "url"),
        ("//user@localhost/x", "url"),
        ("file:///etc/passwd", "url"),
        ("https://0x0a.1/x", "address"),
        ("https://2851995905/x", "address"),
        ("https://256.0.0.1/x", "url"),
        ("", "status"),
    ],
)
def test_every_hop_is_checked_like_the_first(host: Host, downloader: Downloader, location: str, reason: str) -> None:
    url = host.answer(status(302, f"Location: {location}"))

    error = refusal(downloader, url)

    assert error.reason == reason
    assert len(host.heads) == 1


def test_a_redirect_may_not_leave_the_allow_list(host: Host, tls: LocalTls) -> None:
    url = host.answer(status(302, f"Location: {host.url(name='127.0.0.1')}"))

    error = refusal(guard(tls, media_hosts=["localhost"]), url)

    assert error.reason == "host"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ('/fü b"{}`%?{}`%"\''.encode(), "/f%C3%BC%20b%22%7B%7D%60%?{}`%%22%27"),
        ("/fü".encode("latin-1"), "/f%FC"),
        (b"\\a\\b?\\", "/a/b?\\"),
        (b" ./a/../b#t=1\t", "/b"),
    ],
)
def test_a_redirect_is_read_as_browsers_read_it(
    host: Host, downloader: Downloader, location: bytes, target: str
) -> None:
    host.answer(ok(CLIP), target.partition("?")[0])
    url = host.answer(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n\r\n")

    assert fetch(downloader, url) == CLIP
    assert host.heads[1].startswith(f"GET {target} HTTP/1.1\r\n")


@pytest.mark.parametrize("name", ["LOCALHOST", "localhost.", "0x7f.1", "127.1", "2130706433"])
def test_a_link_is_read_as_browsers_read_it(host: Host, downloader: Downloader, name: str) -> None:
    host.answer(ok(CLIP), "/a%20%C3%BC.mp4")

    body = fetch(downloader, f"\n HTTPS://{name}:{host.port}/./a \u00fc.mp4?{{`}}#t=1 ")

    assert body == CLIP
    assert host.heads[0].startswith("GET /a%20%C3%BC.mp4?{`} HTTP/1.1\r\n")
    assert host.server_names[0] in ("localhost", None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my_films.cdn.example", None),
        ("MY_films.cdn.example.", None),
        ("films.cdn.example", None),
        ("a.my_films.cdn.example", "tls"),
        ("my_films.example", "tls"),
        ("_.evil.example", "tls"),
    ],
)
def test_a_wildcard_certifies_a_name_with_an_underscore_as_it_does_in_browsers(
    tmp_path: Path, name: str, reason: str | None
) -> None:
    tls = certificate(tmp_path, "*.cdn.example")
    with serve(tls) as host:
        host.answer(ok(CLIP))

        if reason is None:
            assert fetch(guard(tls), host.url(name=name)) == CLIP
        else:
            assert refusal(guard(tls), host.url(name=name)).reason == reason
            assert host.heads == []


def test_a_name_with_an_underscore_needs_a_trusted_certificate_too(tmp_path: Path) -> None:
    with serve(certificate(tmp_path, "*.cdn.example")) as host:
        error = refusal(Downloader(allow_networks=LOOPBACK, resolve=to_loopback), host.url(name="a_b.cdn.example"))

    assert error.reason == "tls"


def certificate(directory: Path, *names: str) -> LocalTls:
    """A CA of its own and a certificate for *names*."""
    tls, ca = LocalTls(directory), trustme.CA()
    leaf = ca.issue_cert(*names)
    leaf.private_key_pem.write_to_path(str(tls.key_file))
    leaf.cert_chain_pems[0].write_to_path(str(tls.cert_file))
    ca.cert_pem.write_to_path(str(tls.ca_file))
    return tls


def test_ten_redirects_are_followed_and_no_more(host: Host, downloader: Downloader) -> None:
    host.answer(ok(CLIP), "/10")
    for hop in range(10):
        host.answer(status(302, f"Location: /{hop + 1}"), f"/{hop}")
    host.answer(status(302, "Location: /0"), "/one-more")

    assert fetch(downloader, host.url("/0")) == CLIP
    assert refusal(downloader, host.url("/one-more")).reason == "redirects"


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


# Codings that the bytes do not bear out, and those that they do

FALSE = [
    "aws-chunked",
    "utf-8",
    "gzip",
    "gzip, aws-chunked",
    "deflate",
    "br",
    "zstd",
    "none",
    "gzip, " * 9 + "gzip",
    "\x01",
]


@pytest.mark.parametrize("field", ["Content-Encoding", "Transfer-Encoding"])
@pytest.mark.parametrize("label", FALSE)
def test_a_coding_that_the_bytes_do_not_have_is_taken_as_none(
    host: Host, downloader: Downloader, field: str, label: str
) -> None:
    with downloader.open(host.answer(ok(CLIP, f"{field}: {label}"))) as download:
        body = b"".join(download.chunks())

    assert body == CLIP
    assert download.declared_bytes == len(CLIP)


FILM = random.Random(1).randbytes(200_000)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


TRUE = {
    "gzip": gzip.compress(FILM),
    "x-gzip": gzip.compress(FILM),
    "GZIP": gzip.compress(FILM) + b"\0" * 512,
    "gzip, aws-chunked": gzip.compress(FILM),
    "deflate": zlib.compress(FILM),
    "Deflate": raw_deflate(FILM),
    "deflate, gzip": gzip.compress(zlib.compress(FILM)),
}


@pytest.mark.parametrize(("label", "coded"), TRUE.items(), ids=TRUE)
def test_a_coding_that_the_bytes_have_is_decoded(host: Host, downloader: Downloader, label: str, coded: bytes) -> None:
    with downloader.open(host.answer(ok(coded, f"Content-Encoding: {label}"))) as download:
        declared, body = download.declared_bytes, b"".join(download.chunks())

    assert body == FILM
    assert declared is None


def test_a_coded_body_comes_whole_in_small_chunks(host: Host, downloader: Downloader) -> None:
    coded = gzip.compress(FILM)
    parts = [coded[start : start + 7] for start in range(0, len(coded), 7)]
    url = host.answer(chunked(*parts).replace(b"chunked", b"gzip, chunked"))

    assert fetch(downloader, url) == FILM


@pytest.mark.parametrize(
    ("coded", "reason"),
    [
        (gzip.compress(FILM)[:-1], "truncated"),
        (gzip.compress(FILM)[: len(gzip.compress(FILM)) // 2], "truncated"),
        (gzip.compress(FILM)[:-8] + bytes(8), "encoding"),
        (gzip.compress(bytes(64 * MIB)), "too_large"),
        (gzip.compress(gzip.compress(bytes(2**30))), "too_large"),
    ],
    ids=["cut by a byte", "cut in half", "wrong checksum", "bomb", "bomb in a bomb"],
)
def test_a_coded_body_that_does_not_decode_within_the_limits_is_refused(
    host: Host, tls: LocalTls, coded: bytes, reason: str
) -> None:
    url = host.answer(ok(coded, "Content-Encoding: gzip, gzip"))

    tracemalloc.start()
    error = refusal(guard(tls, limits=Limits(max_bytes=4 * MIB)), url)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert error.reason == reason
    assert peak < 8 * MIB


# Bodies that are cut, and go on


class Cutting:
    """A host of parts that serves *body*, and cuts its n-th answer at the n-th of *ends*."""

    def __init__(self, *ends: int, body: bytes = FILM, headers: Sequence[str] = (), cut: Answer | None = None) -> None:
        self.ends = iter(ends)
        self.body = body
        self.headers = headers or ("Accept-Ranges: bytes", 'ETag: "v1"')
        self.cut = cut
        self.asked: list[str] = []

    def __call__(self, talk: Talk) -> None:
        fields = dict(line.split(": ", 1) for line in talk.head.strip().splitlines()[1:])
        self.asked.append(fields.get("Range", ""))
        start = int(self.asked[-1].removeprefix("bytes=").removesuffix("-") or 0)
        end, size = next(self.ends, len(self.body)), len(self.body)
        if start:
            lines = [
                *self.headers,
                f"Content-Range: bytes {start}-{size - 1}/{size}",
                f"Content-Length: {size - start}",
            ]
            talk.say("\r\n".join(["HTTP/1.1 206 Partial Content", *lines, "", ""]).encode(), self.body[start:end])
        else:
            talk.say(ok(self.body[:end], *self.headers, length=size))
        if end < size and self.cut:
            self.cut(talk)


def part(body: bytes, *headers: str) -> bytes:
    """A 206 with *body*."""
    return ok(body, *headers).replace(b"200 OK", b"206 Partial Content", 1)


def reset(talk: Talk) -> None:
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    socket.close(talk.sock.detach())


def fall_silent(talk: Talk) -> None:
    talk.closing.wait(10)


@pytest.mark.parametrize("ends_in_order", [True, False], ids=["close_notify", "no close_notify"])
@pytest.mark.parametrize("cut", [None, reset, fall_silent], ids=["closed", "reset", "silent"])
def test_a_body_that_was_cut_goes_on_at_the_byte(
    host: Host, tls: LocalTls, cut: Answer | None, ends_in_order: bool
) -> None:
    host.ends_in_order = ends_in_order
    cutting = Cutting(100_000, 150_000, cut=cut)
    downloader = guard(tls, limits=Limits(stall_seconds=0.3))

    with downloader.open(host.answer(cutting)) as download:
        body = b"".join(download.chunks())

    assert body == FILM
    assert (download.declared_bytes, download.end) == (len(FILM), BodyEnd.DECLARED)
    assert cutting.asked[0] == ""
    assert len(cutting.asked) == 3
    assert 'If-Range: "v1"' in host.heads[1].splitlines()


def test_a_date_names_the_file_where_there_is_no_strong_etag(host: Host, downloader: Downloader) -> None:
    date = "Tue, 01 Dec 2026 10:00:00 GMT"
    cutting = Cutting(1000, headers=["Accept-Ranges: bytes", 'ETag: W/"v1"', f"Last-Modified: {date}"])

    assert fetch(downloader, host.answer(cutting)) == FILM
    assert f"If-Range: {date}" in host.heads[1].splitlines()


@pytest.mark.parametrize(
    "headers",
    [
        ("Accept-Ranges: bytes",),
        ('ETag: "v1"',),
        ("Accept-Ranges: none", 'ETag: "v1"'),
        ("Accept-Ranges: bytes", 'ETag: W/"v1"'),
    ],
    ids=["no validator", "no parts offered", "no parts", "weak"],
)
def test_a_body_that_was_cut_is_left_where_the_host_does_not_offer_the_rest(
    host: Host, downloader: Downloader, headers: Sequence[str]
) -> None:
    cutting = Cutting(1000, headers=headers)

    assert refusal(downloader, host.answer(cutting)).reason == "truncated"
    assert cutting.asked == [""]


REST = f"Content-Range: bytes 1000-{len(FILM) - 1}/{len(FILM)}"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (ok(FILM, 'ETag: "v2"'), "changed"),
        (part(FILM[1000:], REST, 'ETag: "v2"'), "changed"),
        (part(FILM[1000:], REST, "Content-Encoding: gzip"), "changed"),
        (part(FILM[1000:], REST.replace("1000", "999")), "changed"),
        (part(FILM[1000:], REST + "0"), "changed"),
        (part(FILM[1000:]), "changed"),
        (status(416, f"Content-Range: bytes */{len(FILM)}"), "changed"),
        (status(416, "Content-Range: bytes */1000"), "changed"),
        (status(404), "dead"),
        (status(302, "Location: https://10.0.0.1/x"), "address"),
    ],
    ids=[
        "other file",
        "other tag",
        "other coding",
        "other start",
        "other length",
        "no range",
        "416",
        "shorter",
        "gone",
        "inside",
    ],
)
def test_only_the_rest_of_the_very_file_is_taken(
    host: Host, downloader: Downloader, second: bytes, reason: str
) -> None:
    first = ok(FILM[:1000], "Accept-Ranges: bytes", 'ETag: "v1"', length=len(FILM))
    answers = iter([first, second])

    error = refusal(downloader, host.answer(lambda talk: talk.say(next(answers))))

    assert error.reason == reason
    assert len(host.heads) == 2


def test_the_rest_is_asked_for_again_while_the_host_is_busy_or_away(host: Host, downloader: Downloader) -> None:
    cutting, between = Cutting(1000), iter([status(503), status(429), b""])
    requests = itertools.count()

    def answer(talk: Talk) -> None:
        if next(requests) in (1, 2):
            talk.say(next(between))
        else:
            cutting(talk)

    assert fetch(downloader, host.answer(answer)) == FILM
    assert len(host.heads) == 4


@pytest.mark.parametrize(
    ("cutting", "requests"),
    [(Cutting(1000, *[0] * 99), 1 + FRUITLESS_RESUMES), (Cutting(*range(1, 99)), 1 + MOST_RESUMES)],
)
def test_a_host_that_cuts_again_and_again_is_left(
    host: Host, downloader: Downloader, cutting: Cutting, requests: int
) -> None:
    error = refusal(downloader, host.answer(cutting))

    assert error.reason == "truncated"
    assert len(cutting.asked) == requests


def test_a_first_part_is_followed_by_the_rest(host: Host, downloader: Downloader) -> None:
    size = len(FILM)
    first = part(FILM[:1000], f"Content-Range: bytes 0-999/{size}", 'ETag: "v1"')
    rest = part(FILM[1000:], REST, 'ETag: "v1"')
    answers = iter([first, rest])

    with downloader.open(host.answer(lambda talk: talk.say(next(answers)))) as download:
        declared, body = download.declared_bytes, b"".join(download.chunks())

    assert (body, declared) == (FILM, size)


@pytest.mark.parametrize(
    ("second", "end"),
    [
        (status(416, f"Content-Range: bytes */{len(FILM)}"), FILM),
        (
            part(b"more", f"Content-Range: bytes {len(FILM)}-{len(FILM) + 3}/{len(FILM) + 4}"),
            FILM + b"more",
        ),
    ],
    ids=["it was all", "there was more"],
)
def test_an_end_that_nothing_told_is_asked_about_where_the_host_offers_parts(
    host: Host, downloader: Downloader, second: bytes, end: bytes
) -> None:
    host.ends_in_order = False
    first = b'HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nETag: "v1"\r\n\r\n' + FILM
    answers = iter([first, second])

    with downloader.open(host.answer(lambda talk: talk.say(next(answers)))) as download:
        body = b"".join(download.chunks())

    assert body == end
    assert download.end is BodyEnd.DECLARED


def test_a_compressed_body_goes_on_within_its_coding(host: Host, downloader: Downloader) -> None:
    coded = gzip.compress(FILM)
    cutting = Cutting(300, 20_000, body=coded, headers=["Content-Encoding: gzip", "Accept-Ranges: bytes", 'ETag: "v1"'])

    assert fetch(downloader, host.answer(cutting)) == FILM
    assert cutting.asked == ["", "bytes=300-", "bytes=20000-"]


# What the host does not end


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
    ],
    ids=["until closed", "chunked"],
)
def test_a_body_without_end_is_cut_off_at_the_limit(host: Host, tls: LocalTls, head: bytes, part: bytes) -> None:
    def pour(talk: Talk) -> None:
        talk.say(head)
        talk.repeat(part)

    error = refusal(guard(tls, limits=Limits(max_bytes=MIB)), host.answer(pour))

    assert error.reason == "too_large"


@pytest.mark.parametrize(
    "part", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"], ids=["bare", "with headers"]
)
def test_interim_answers_without_end_are_cut_off(host: Host, downloader: Downloader, part: bytes) -> None:
    error = refusal(downloader, host.answer(lambda talk: talk.repeat(part)))

    assert error.reason == "headers"


def test_a_host_that_falls_silent_is_left(host: Host, tls: LocalTls) -> None:
    def stall(talk: Talk) -> None:
        talk.say(ok(CLIP[:1000], length=len(CLIP)))
        talk.closing.wait(10)

    error = refusal(guard(tls, limits=Limits(stall_seconds=0.2)), host.answer(stall))

    assert error.reason == "stalled"


def test_a_host_that_never_answers_is_left(host: Host, tls: LocalTls) -> None:
    def stay_silent(talk: Talk) -> None:
        talk.closing.wait(10)

    error = refusal(guard(tls, limits=Limits(stall_seconds=0.2)), host.answer(stay_silent))

    assert error.reason == "stalled"


def test_a_host_that_never_shakes_hands_is_left(tls: LocalTls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/video.mp4"

        error = refusal(guard(tls, limits=Limits(connect_seconds=0.2)), url)

    assert error.reason == "tls"


class Clock:
    """Moves on by a fixed step whenever somebody looks."""

    def __init__(self, step_seconds: float) -> None:
        self.now = 0.0
        self._step = step_seconds

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def test_a_host_below_the_least_rate_is_left(host: Host, tls: LocalTls) -> None:
    # a wait takes a second of this clock, and brings less than a MiB
    limits = Limits(total_seconds=1e9, least_bytes_per_second=MIB, rate_window_seconds=20)

    def drip(talk: Talk) -> None:
        talk.say(ok(b"", length=1024 * MIB))
        talk.repeat(bytes(100))

    error = refusal(guard(tls, limits=limits, clock=Clock(1.0)), host.answer(drip))

    assert error.reason == "slow"


@pytest.mark.parametrize(
    "start", [ok(b"", length=100 * MIB), b"HTTP/1.1 200 OK\r\nX: ", b""], ids=["body", "head", "status"]
)
def test_a_host_that_drips_is_left_when_the_time_is_up(host: Host, tls: LocalTls, start: bytes) -> None:
    # a wait takes a second or two of this clock, and brings too little for any other limit
    limits = Limits(total_seconds=20, least_bytes_per_second=0)

    def drip(talk: Talk) -> None:
        talk.say(start)
        talk.repeat(b"x")

    error = refusal(guard(tls, limits=limits, clock=Clock(1.0)), host.answer(drip))

    assert error.reason == "timeout"


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (ok(b"", length=2**50), b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["body", "body without a length", "chunks", "head", "interim answers"],
)
def test_the_watchdog_ends_what_no_other_limit_does(host: Host, tls: LocalTls, start: bytes, part: bytes) -> None:
    # a clock that stands still: no wait ever lasts too long, nor all of them together
    limits = Limits(total_seconds=0.5, header_bytes=2**60, max_bytes=2**60)

    def drip(talk: Talk) -> None:
        talk.say(start)
        talk.repeat(part)

    error = refusal(guard(tls, limits=limits, clock=Clock(0.0)), host.answer(drip))

    assert error.reason == "timeout"


def test_a_download_may_last_while_the_least_rate_is_kept(host: Host, tls: LocalTls) -> None:
    clock = Clock(30.0)
    limits = Limits(least_bytes_per_second=1)

    body = fetch(guard(tls, limits=limits, clock=clock), host.answer(ok(bytes(4 * MIB))))

    assert body == bytes(4 * MIB)
    assert clock.now > 3600


def test_a_download_ends_when_its_caller_says(host: Host, tls: LocalTls) -> None:
    downloader = guard(tls, limits=Limits(least_bytes_per_second=1), clock=Clock(30.0))
    url = host.answer(ok(bytes(4 * MIB)))

    with pytest.raises(DownloadError) as caught, downloader.open(url, most_seconds=3600) as download:
        list(download.chunks())

    assert caught.value.reason == "timeout"


def test_time_that_we_take_ourselves_does_not_make_the_host_slow(host: Host, tls: LocalTls) -> None:
    clock = Clock(0.0)
    limits = Limits(total_seconds=1e6, least_bytes_per_second=MIB, rate_window_seconds=1)
    url = host.answer(ok(bytes(4 * MIB)))

    with guard(tls, limits=limits, clock=clock).open(url) as download:
        for _ in download.chunks():
            clock.now += 100

    assert clock.now >= 1000


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
