"""Taking MP4s apart, and building those that the sandbox's writer does not make."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from deploy.sandbox.mp4 import make
from worker.errors import NotAVideoError
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, form: str, *values: object, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", flags) + struct.pack(form, *values))


def split_boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of each box of a well-formed file."""
    found, at = [], 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        header = 8
        if size == 1:
            (size,), header = struct.unpack_from(">Q", content, at + 8), 16
        found.append((kind, content[at + header : at + size]))
        at += size
    return found


def moov_last(clip: bytes, *, long_mdat: bool = False) -> bytes:
    """*clip* with its description behind its media, the sample offsets moved along."""
    boxes = dict(split_boxes(clip))
    ftyp, media = box(b"ftyp", boxes[b"ftyp"]), boxes[b"mdat"]
    header = (
        struct.pack(">I4sQ", 1, b"mdat", 16 + len(media)) if long_mdat else struct.pack(">I4s", 8 + len(media), b"mdat")
    )
    at = boxes[b"moov"].index(b"stco") + 12
    (old,) = struct.unpack_from(">I", boxes[b"moov"], at)
    new = old - clip.index(b"mdat") - 4 + len(ftyp) + len(header)
    moov = boxes[b"moov"][:at] + struct.pack(">I", new) + boxes[b"moov"][at + 4 :]
    return ftyp + header + media + box(b"moov", moov)


def padded(clip: bytes, size: int) -> bytes:
    """*clip* made *size* bytes long by a box of nothing."""
    room = size - len(clip)
    return clip + struct.pack(">I4s", room, b"free") + bytes(room - 8)


FRAGMENT_DEFAULTS = box(b"mvex", full_box(b"trex", ">IIIII", 1, 1, 1, 100, 0))
"""A fragment's samples belong to track 1; each lasts one unit and takes 100 bytes."""

HEADER_BYTES = 8
RUN_OFFSET = 0x1
"""Flag of a run that tells where its samples begin, counted from its `moof` box."""


def fragment(samples: int, *, track: int = 1, shifted_by: int = 0) -> bytes:
    """A description of *samples* and their media; the samples' place told wrong by some bytes."""

    def moof(offset: int) -> bytes:
        run = full_box(b"trun", ">Ii", samples, offset, flags=RUN_OFFSET)
        return box(b"moof", box(b"traf", full_box(b"tfhd", ">I", track), run))

    offset = len(moof(0)) + HEADER_BYTES + shifted_by
    return moof(offset) + box(b"mdat", bytes(100 * samples))


def fragmented(
    width: int, height: int, *, fragments: int, samples: int, timescale: int, extension: bytes = FRAGMENT_DEFAULTS
) -> bytes:
    """A film whose samples are described fragment by fragment, as the *extension* (`mvex`) says."""
    boxes = dict(split_boxes(make(width, height, 1)))
    trak = dict(split_boxes(dict(split_boxes(boxes[b"moov"]))[b"trak"]))
    mdia = dict(split_boxes(trak[b"mdia"]))
    stsd = dict(split_boxes(dict(split_boxes(mdia[b"minf"]))[b"stbl"]))[b"stsd"]
    empty = [full_box(kind, ">I", 0) for kind in (b"stts", b"stsc", b"stco")]
    stbl = box(b"stbl", box(b"stsd", stsd), *empty, full_box(b"stsz", ">II", 0, 0))
    moov = box(
        b"moov",
        full_box(b"mvhd", ">IIII80x", 0, 0, timescale, 0),
        box(
            b"trak",
            box(b"tkhd", trak[b"tkhd"]),
            box(
                b"mdia",
                full_box(b"mdhd", ">IIIII", 0, 0, timescale, 0, 0),
                box(b"hdlr", mdia[b"hdlr"]),
                box(b"minf", stbl),
            ),
        ),
        extension,
    )
    return box(b"ftyp", boxes[b"ftyp"]) + moov + fragment(samples) * fragments


def replaced(content: bytes, path: str, body: bytes) -> bytes:
    """*content* with the body of the box at *path* (such as `moov/trak/tkhd`) replaced."""
    first, _, rest = path.partition("/")
    kind = first.encode()
    return b"".join(
        box(found, replaced(inner, rest, body) if rest else body) if found == kind else box(found, inner)
        for found, inner in split_boxes(content)
    )


def body_at(content: bytes, path: str) -> bytes:
    """The body of the box at *path*."""
    for step in path.split("/"):
        content = dict(split_boxes(content))[step.encode()]
    return content


def in_pieces(content: bytes, size: int) -> Iterable[bytes]:
    """*content* cut into pieces of *size* bytes."""
    return (content[at : at + size] for at in range(0, len(content), size))


def walk(*pieces: bytes, is_end_certain: bool = True) -> VideoFacts:
    """The facts of the film that the *pieces* make up."""
    walked = FilmWalk()
    for piece in pieces:
        walked.feed(piece)
    return walked.finish(is_end_certain=is_end_certain)


def refusal(*pieces: bytes, is_end_certain: bool = True) -> str:
    """The reason why the film that the *pieces* make up is refused."""
    with pytest.raises(NotAVideoError) as caught:
        walk(*pieces, is_end_certain=is_end_certain)
    return caught.value.reason
