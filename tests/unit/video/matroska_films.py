"""Matroska and WebM films, made of the sandbox's pictures (H.264, which players take in Matroska)."""

from __future__ import annotations

import struct

from deploy.sandbox.mp4 import make
from tests.unit.video.films import body_at

EBML, SEGMENT, INFO, TRACKS, CLUSTER = b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\x15I\xa9f", b"\x16T\xaek", b"\x1fC\xb6u"
CUES, VOID, TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = b"\x1cS\xbbk", b"\xec", b"\xe7", b"\xa3", b"\xa0", b"\xa1"
BLOCK_DURATION = b"\x9b"
UNKNOWN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"
FRAMES_PER_SECOND = 24


def element(kind: bytes, *parts: bytes) -> bytes:
    """An element that tells its size in eight bytes."""
    body = b"".join(parts)
    return kind + struct.pack(">Q", len(body) | 1 << 56) + body


def endless(kind: bytes, *parts: bytes) -> bytes:
    """An element of unknown size."""
    return kind + UNKNOWN_SIZE + b"".join(parts)


def number(kind: bytes, value: int) -> bytes:
    return element(kind, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def head(doc_type: bytes = b"webm") -> bytes:
    """The element that begins a file."""
    return element(EBML, number(b"\x42\x86", 1), element(b"\x42\x82", doc_type))


def info(seconds: float | None) -> bytes:
    """The length of the film in milliseconds, if it is told."""
    told = element(b"\x44\x89", struct.pack(">d", seconds * 1000)) if seconds is not None else b""
    return element(INFO, number(b"\x2a\xd7\xb1", 1_000_000), told)


def track(clip: bytes, index: int = 1, kind: int = 1, roll: float | None = None) -> bytes:
    """The entry of a track that shows the pictures of *clip*."""
    stsd = body_at(clip, "moov/trak/mdia/minf/stbl/stsd")
    width, height = struct.unpack_from(">HH", stsd, 40)
    configuration = stsd[stsd.index(b"avcC") + 4 :]
    projection = element(b"\x76\x70", element(b"\x76\x75", struct.pack(">f", roll))) if roll is not None else b""
    picture = element(b"\xe0", number(b"\xb0", width), number(b"\xba", height), projection)
    codec = element(b"\x86", b"V_MPEG4/ISO/AVC") + element(b"\x63\xa2", configuration)
    return element(b"\xae", number(b"\xd7", index), number(b"\x73\xc5", index), number(b"\x83", kind), codec, picture)


def frames(clip: bytes) -> list[bytes]:
    """The pictures of *clip*, each as it lies in the file."""
    stsz, media = body_at(clip, "moov/trak/mdia/minf/stbl/stsz"), body_at(clip, "mdat")
    (count,) = struct.unpack_from(">I", stsz, 8)
    found, at = [], 0
    for size in struct.unpack_from(f">{count}I", stsz, 12):
        found.append(media[at : at + size])
        at += size
    return found


def block(frame: bytes, milliseconds: int, *, index: int = 1, is_key: bool = False) -> bytes:
    """One picture, at an instant counted from its cluster's."""
    return struct.pack(">BhB", 0x80 | index, milliseconds, 0x80 if is_key else 0) + frame


def clusters(clip: bytes, *, is_sized: bool = True) -> list[bytes]:
    """A cluster for each second of *clip*."""
    pictures = frames(clip)
    found = []
    for second, at in enumerate(range(0, len(pictures), FRAMES_PER_SECOND)):
        blocks = [
            element(SIMPLE_BLOCK, block(picture, round(1000 * index / FRAMES_PER_SECOND), is_key=index == 0))
            for index, picture in enumerate(pictures[at : at + FRAMES_PER_SECOND])
        ]
        make_cluster = element if is_sized else endless
        found.append(make_cluster(CLUSTER, number(TIMESTAMP, 1000 * second), *blocks))
    return found


def film(width: int, height: int, seconds: int, *, doc_type: bytes = b"webm") -> bytes:
    """A whole film that tells its size and its length."""
    clip = make(width, height, seconds)
    return head(doc_type) + element(SEGMENT, info(seconds), element(TRACKS, track(clip)), *clusters(clip))


def live_film(width: int, height: int, seconds: int, *, told: float | None = None) -> bytes:
    """A film as a live recorder writes it: neither it nor its clusters tell a size."""
    clip = make(width, height, seconds)
    parts = (info(told), element(TRACKS, track(clip)), *clusters(clip, is_sized=False))
    return head() + endless(SEGMENT, *parts)
