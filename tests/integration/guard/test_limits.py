"""Limits that end an answer which its host never ends."""

from __future__ import annotations

import socket

import pytest

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import (
    CLIP,
    MIB,
    Clock,
    fetch,
    guard,
    refusal,
)
from tests.integration.hosts import Host, Talk, ok
from worker.errors import DownloadError
from worker.guard.connection import Limits
from worker.guard.download import Downloader


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
