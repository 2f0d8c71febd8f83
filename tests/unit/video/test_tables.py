"""Tables of samples that contradict each other, or the file, are refused."""

from __future__ import annotations

import struct

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import body_at, box, full_box, moov_last, refusal, replaced, split_boxes, walk

CLIP = moov_last(make(640, 360, 3))
STBL = "moov/trak/mdia/minf/stbl"
SAMPLES = 72


def table(*numbers: int) -> bytes:
    """The body of a table: version and flags 0, then *numbers* of 32 bits."""
    return struct.pack(f">I{len(numbers)}I", 0, *numbers)


WRONG = {
    "a run of chunks begins at none": ("stsc", table(1, 0, SAMPLES, 1)),
    "a run of chunks begins at the second": ("stsc", table(1, 2, SAMPLES, 1)),
    "a run of chunks begins behind the last": ("stsc", table(2, 1, SAMPLES, 1, 2, SAMPLES, 1)),
    "runs of chunks go backwards": ("stsc", table(2, 1, SAMPLES, 1, 1, SAMPLES, 1)),
    "a chunk has no samples": ("stsc", table(1, 1, 0, 1)),
    "a chunk has too few samples": ("stsc", table(1, 1, SAMPLES - 1, 1)),
    "samples of no description": ("stsc", table(1, 1, SAMPLES, 0)),
    "samples of a second description": ("stsc", table(1, 1, SAMPLES, 2)),
    "no runs": ("stsc", table(0)),
    "no chunks": ("stco", table(0)),
    "more chunks than are listed, and more samples": ("stco", table(2)),
    "more samples than sizes": ("stsz", table(0, SAMPLES, 1)),
    "more samples than have a place": ("stsz", table(10, SAMPLES + 1)),
    "samples without bytes": ("stsz", table(0, SAMPLES, *[0] * SAMPLES)),
    "no samples": ("stsz", table(0, 0)),
    "no times": ("stts", table(0)),
    "more times than are listed, and too few": ("stts", table(2, SAMPLES - 1, 1)),
    "more sizes than are listed": ("stsz", table(0, SAMPLES, *[1] * (SAMPLES - 1))),
    "nothing described": ("stsd", table(0)),
}


@pytest.mark.parametrize(("kind", "body"), WRONG.values(), ids=WRONG.keys())
def test_tables_that_contradict_each_other_are_refused(kind: str, body: bytes) -> None:
    assert refusal(replaced(CLIP, f"{STBL}/{kind}", body)) == "corrupt"


OUTSIDE = {
    "a chunk in front of the media": ("stco", table(1, 8)),
    "a chunk that begins one byte early": ("stco", table(1, 47)),
    "a chunk behind the file": ("stco", table(1, 1 << 31)),
    "samples larger than the media": ("stsz", table(1 << 20, SAMPLES)),
    "samples of the largest size": ("stsz", table(0xFFFFFFFF, SAMPLES)),
}


@pytest.mark.parametrize(("kind", "body"), OUTSIDE.values(), ids=OUTSIDE.keys())
def test_samples_outside_the_media_are_missed(kind: str, body: bytes) -> None:
    assert refusal(replaced(CLIP, f"{STBL}/{kind}", body)) == "truncated"


def test_offsets_in_time_that_are_not_listed_are_missed() -> None:
    stbl = body_at(CLIP, STBL) + box(b"ctts", table(2, SAMPLES, 1))

    assert refusal(replaced(CLIP, STBL, stbl)) == "corrupt"


def test_media_in_another_place_are_missed() -> None:
    ftyp, mdat, moov = (box(kind, body) for kind, body in split_boxes(CLIP))

    assert refusal(mdat, ftyp, moov) == "truncated"
    assert refusal(ftyp, moov, mdat) == "truncated"
    assert refusal(ftyp, box(b"free"), mdat, moov) == "truncated"


def test_a_track_outside_the_description_is_missed() -> None:
    trak = box(b"trak", body_at(CLIP, "moov/trak"))
    without = replaced(CLIP, "moov", body_at(CLIP, "moov").replace(trak, b""))

    assert refusal(without, trak) == "no_video"


@pytest.mark.parametrize("path", ["moov/trak/tkhd", "moov/trak/mdia", "moov/trak/mdia/minf", STBL, f"{STBL}/stsd"])
def test_a_part_that_is_there_twice_is_refused(path: str) -> None:
    parent, _, kind = path.rpartition("/")
    again = body_at(CLIP, parent) + box(kind.encode(), body_at(CLIP, path))

    assert refusal(replaced(CLIP, parent, again)) == "corrupt"


@pytest.mark.parametrize("kind", ["stsz", "stsc", "stco", "stts"])
def test_a_table_that_is_there_twice_and_contradicts_itself_is_refused(kind: str) -> None:
    other = bytearray(body_at(CLIP, f"{STBL}/{kind}"))
    other[-1] ^= 1

    assert refusal(replaced(CLIP, STBL, body_at(CLIP, STBL) + box(kind.encode(), bytes(other)))) == "corrupt"


def test_a_doubled_track_is_refused() -> None:
    """Two tracks of one id: no fragment and no edit could tell which of them it is about."""
    trak = body_at(CLIP, "moov/trak")

    assert refusal(replaced(CLIP, "moov", body_at(CLIP, "moov") + box(b"trak", trak))) == "corrupt"


def test_a_track_of_text_with_the_videos_id_is_refused() -> None:
    mdia = box(b"mdia", full_box(b"hdlr", ">I4s12x", 0, b"text"))
    text = box(b"trak", box(b"tkhd", body_at(CLIP, "moov/trak/tkhd")), mdia)

    assert refusal(replaced(CLIP, "moov", body_at(CLIP, "moov") + text)) == "corrupt"


def test_a_track_header_of_an_unknown_version_is_refused() -> None:
    path = "moov/trak/mdia/mdhd"

    assert refusal(replaced(CLIP, path, b"\2" + body_at(CLIP, path)[1:])) == "corrupt"


@pytest.mark.parametrize("count", [0, 2, 0xFFFFFFFF])
def test_a_list_of_files_that_contradicts_itself_is_refused(count: int) -> None:
    dref = table(count) + full_box(b"url ", ">", flags=1)

    assert refusal(replaced(CLIP, "moov/trak/mdia/minf/dinf/dref", dref)) == "corrupt"


def test_a_compact_table_of_four_bits_is_read() -> None:
    samples = split_boxes(body_at(CLIP, STBL))
    sizes = b"".join(box(kind, body) for kind, body in samples if kind != b"stsz")
    compact = full_box(b"stz2", ">II", 4, SAMPLES) + b"\x21" * (SAMPLES // 2)
    compact = struct.pack(">I", len(compact)) + compact[4:]

    assert walk(replaced(CLIP, STBL, sizes + compact)).seconds == 3.0
    assert refusal(replaced(CLIP, STBL, sizes + compact.replace(b"\0\0\0\x04\0\0", b"\0\0\0\x05\0\0"))) == "corrupt"
