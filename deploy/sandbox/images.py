"""Frames: what size an image has or is said to have, and a few real PNG files to serve."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

Size = tuple[int, int]

SERVED: dict[str, Size] = {
    "start-frame.png": (1280, 720),
    "end-frame.png": (1280, 720),
    "portrait-frame.png": (720, 1280),
    "square-frame.png": (720, 720),
}
"""The images under `/images/`."""

TOLD = re.compile(r"(?<!\d)(\d{2,4})x(\d{2,4})(?!\d)")


def size_told_by(url: str) -> Size | None:
    """The size that the last part of a URL's path tells (`frame-720x1280.jpg`), or that of a served image."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if name in SERVED:
        return SERVED[name]
    told = TOLD.search(name)
    size = (int(told[1]), int(told[2])) if told else (0, 0)
    return size if min(size) > 0 else None


def decoded(text: str) -> bytes | None:
    """The bytes of a `data:image/...;base64,` URI or of bare Base64; None for neither."""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not re.fullmatch(r"data:image/[a-z.+-]+;base64", head):
            return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def size_of(image: bytes) -> Size | None:
    """Width and height of a PNG or JPEG; None for anything else."""
    if image.startswith(b"\x89PNG\r\n\x1a\n") and len(image) >= 24:
        width, height = struct.unpack(">II", image[16:24])
        return width, height
    return _jpeg_size(image) if image.startswith(b"\xff\xd8") else None


def _jpeg_size(image: bytes) -> Size | None:
    """Walk the segments to the frame header (SOF0..SOF15 without DHT, JPG, DAC) [ITU-T T.81, B.2.2]."""
    position = 2
    while position + 9 <= len(image) and image[position] == 0xFF:
        marker, length = struct.unpack(">xBH", image[position : position + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", image[position + 5 : position + 9])
            return width, height
        position += 2 + length
    return None


@lru_cache(maxsize=16)
def png(name: str) -> bytes:
    """The file of a served image: a soft gradient, its colours from its name."""
    width, height = SERVED[name]
    tint = zlib.crc32(name.encode())
    red, green, blue = tint & 0x7F, tint >> 8 & 0x7F, tint >> 16 & 0x7F
    across = [x * 127 // width for x in range(width)]
    rows = bytearray()
    for y in range(height):
        down = y * 127 // height
        rows.append(0)  # filter: none
        rows += bytes(part for x in across for part in (red + x, green + down, blue + (x + down) // 2))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
