"""How specs and Celery requests are kept: they are most of what a waiting job costs, and words pack well."""

from __future__ import annotations

import zlib

from worker.store.dictionary import WORDS

PACKED = b"\1"
"""How packed text begins, and no JSON does."""

RAW = -zlib.MAX_WBITS
"""Deflate without zlib's header and checksum: the record has the spec's own digest."""


def pack(text: str) -> bytes:
    """*text* in as few bytes as it takes."""
    if not text:
        return b""
    plain = text.encode(errors="backslashreplace")
    packing = zlib.compressobj(9, wbits=RAW, zdict=WORDS)
    packed = PACKED + packing.compress(plain) + packing.flush()
    return min(packed, plain, key=len)


def unpack(kept: bytes) -> str:
    """What `pack` was given."""
    is_packed = kept.startswith(PACKED)
    plain = zlib.decompressobj(wbits=RAW, zdict=WORDS).decompress(kept[len(PACKED) :]) if is_packed else kept
    return plain.decode(errors="backslashreplace")
