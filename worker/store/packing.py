"""How a spec is kept: prompts are most of what a waiting job costs, and words pack well."""

from __future__ import annotations

import zlib

PACKED = b"\0"
"""How a packed spec begins, and no JSON does."""

RAW = -zlib.MAX_WBITS
"""Deflate without zlib's header and checksum: the record has the spec's own digest."""


def pack(text: str) -> bytes:
    """*text* in as few bytes as it takes."""
    plain = text.encode(errors="backslashreplace")
    packing = zlib.compressobj(9, wbits=RAW)
    packed = PACKED + packing.compress(plain) + packing.flush()
    return min(packed, plain, key=len)


def unpack(kept: bytes) -> str:
    """What `pack` was given."""
    plain = zlib.decompress(kept[len(PACKED) :], wbits=RAW) if kept.startswith(PACKED) else kept
    return plain.decode(errors="backslashreplace")
