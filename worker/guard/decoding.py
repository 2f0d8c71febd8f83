"""Content codings, believed only where the bytes bear them out.

Nothing but the bytes as they are is asked for, yet hosts label plain films `aws-chunked`, `utf-8` or `gzip`, and
some compress unasked. A body that truly is gzip or deflate is decoded, bounded; any other label means nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from worker.errors import DownloadError

MOST_LAYERS = 2
PIECE_BYTES = 256 * 1024
TRIAL_BYTES = 1024

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
RAW_DEFLATE = -zlib.MAX_WBITS
WINDOWS = {"gzip": (GZIP_OR_ZLIB,), "x-gzip": (GZIP_OR_ZLIB,), "deflate": (GZIP_OR_ZLIB, RAW_DEFLATE)}
"""By coding, the forms in which hosts send it: `deflate` means zlib's format, but raw deflate is common."""


def decoded(chunks: Iterator[bytes], codings: Iterable[str]) -> tuple[Iterator[bytes], bool]:
    """*chunks* without the *codings* that they truly have, and whether there was one.

    Reads the first KiB to know. While the chunks are read, raises `DownloadError("encoding")` for bytes that do not
    decode, "truncated" where they end too early.
    """
    is_decoded = False
    known = [coding for coding in codings if coding in WINDOWS]
    for coding in reversed(known[-MOST_LAYERS:]):
        start = _gathered(chunks)
        chunks = chain((start,), chunks) if start else chunks
        window = next((window for window in WINDOWS[coding] if _decodes(start, window)), None)
        if window is not None:
            chunks, is_decoded = _inflated(chunks, window), True
    return chunks, is_decoded


def _gathered(chunks: Iterator[bytes]) -> bytes:
    """The first chunks, together enough for a trial unless they end before."""
    start = bytearray()
    while len(start) < TRIAL_BYTES and (chunk := next(chunks, None)) is not None:
        start += chunk
    return bytes(start)


def _decodes(start: bytes, window: int) -> bool:
    decoder = zlib.decompressobj(window)
    try:
        decoder.decompress(start[:TRIAL_BYTES], PIECE_BYTES)
    except zlib.error:
        return False
    return bool(start)


def _inflated(chunks: Iterable[bytes], window: int) -> Iterator[bytes]:
    """*chunks* inflated, in pieces of at most `PIECE_BYTES`; what stands behind the compressed bytes is ignored."""
    decoder = zlib.decompressobj(window)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not decoder.eof:
                if piece := decoder.decompress(rest, PIECE_BYTES):
                    yield piece
                rest = decoder.unconsumed_tail
        while not decoder.eof and (piece := decoder.decompress(b"", PIECE_BYTES)):
            yield piece
    except zlib.error as err:
        raise DownloadError("encoding", "the compressed body does not decode") from err
    if not decoder.eof:
        raise DownloadError("truncated", "the compressed body ends too early")
