"""Deflate for specs: prompts are most of the memory that a waiting job takes."""

from __future__ import annotations

import zlib

PACKED = b"\1"
"""The prefix of packed text; no JSON begins so."""

RAW = -zlib.MAX_WBITS
"""Deflate without zlib's header and checksum: the record has the spec's own digest."""


def pack(text: str) -> bytes:
    """*text* deflated where that is shorter, else as it is; a lone surrogate is written out."""
    plain = text.encode(errors="backslashreplace")
    packing = zlib.compressobj(9, wbits=RAW)
    packed = PACKED + packing.compress(plain) + packing.flush()
    return min(packed, plain, key=len)


def unpack(kept: bytes) -> str:
    """The text that `pack` was given."""
    is_packed = kept.startswith(PACKED)
    plain = zlib.decompressobj(wbits=RAW).decompress(kept[len(PACKED) :]) if is_packed else kept
    return plain.decode(errors="backslashreplace")
