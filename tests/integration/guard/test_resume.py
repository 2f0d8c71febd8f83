"""Bodies that are cut, and go on."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Sequence

import pytest

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import (
    FILM,
    fetch,
    guard,
    refusal,
    reset,
)
from tests.integration.hosts import Answer, Host, Talk, ok, status
from worker.guard.connection import Limits
from worker.guard.download import FRUITLESS_RESUMES, MOST_RESUMES, Downloader
from worker.guard.response import BodyEnd


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
