"""The guard's policy against real hosts, and against links that lead elsewhere."""

from __future__ import annotations

import ipaddress
import itertools
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import (
    CLIP,
    LOOPBACK,
    Recorder,
    fetch,
    guard,
    refusal,
    to_loopback,
)
from tests.integration.hosts import Host, ok, serve, status
from worker.guard.addresses import Address
from worker.guard.download import Downloader

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
