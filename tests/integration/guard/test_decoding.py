"""Codings that the bytes do not bear out, and those that they do."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from deploy.local.tls import LocalTls
from tests.integration.guard.conftest import (
    CLIP,
    FILM,
    MIB,
    fetch,
    guard,
    refusal,
)
from tests.integration.hosts import Host, chunked, ok
from worker.guard.connection import Limits
from worker.guard.download import Downloader

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
