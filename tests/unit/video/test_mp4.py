"""Whole MP4s, and files that are not."""

from __future__ import annotations

import struct

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import box, full_box, in_pieces, moov_last, refusal, replaced, split_boxes, walk
from worker.errors import NotAVideoError
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk
from worker.video.mp4 import MOST_KEPT_BYTES

CLIP = make(640, 360, 3)
FACTS = VideoFacts(3.0, 640, 360, "avc1")
TABLES = "moov/trak/mdia/minf/stbl"


@pytest.mark.parametrize(
    ("width", "height", "seconds"), [(1280, 720, 5), (1920, 1080, 10), (720, 1280, 5), (854, 480, 3)]
)
def test_a_whole_clip_tells_its_size_and_length(width: int, height: int, seconds: int) -> None:
    assert walk(make(width, height, seconds)) == VideoFacts(float(seconds), width, height, "avc1")


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 1000, 65536])
def test_the_size_of_the_pieces_does_not_matter(size: int) -> None:
    assert walk(*in_pieces(CLIP, size)) == FACTS


def test_the_description_may_stand_behind_the_media() -> None:
    assert walk(moov_last(CLIP)) == FACTS


def test_boxes_of_other_kinds_are_passed_over() -> None:
    assert walk(CLIP, box(b"free", bytes(100)), box(b"uuid", bytes(16)), box(b"udta", b"")) == FACTS


def test_a_64_bit_size_is_read() -> None:
    ftyp, *others = split_boxes(moov_last(CLIP, long_mdat=True))

    assert walk(moov_last(CLIP, long_mdat=True)) == FACTS
    assert ftyp[0] == b"ftyp"
    assert {kind for kind, _ in others} == {b"mdat", b"moov"}


def test_media_that_lasts_to_the_end_of_the_file_is_read() -> None:
    head, _, media = CLIP.partition(b"mdat")

    assert walk(head[:-4] + bytes(4) + b"mdat" + media) == FACTS


def test_media_that_lasts_to_the_end_is_still_missed_when_cut() -> None:
    head, _, media = CLIP.partition(b"mdat")

    with pytest.raises(NotAVideoError) as caught:
        walk(head[:-4] + bytes(4) + b"mdat" + media[:-1])

    assert caught.value.reason == "truncated"


def test_times_of_64_bits_are_read() -> None:
    mdhd = struct.pack(">IQQIQI", 1 << 24, 0, 0, 1000, 2500, 0)
    clip = replaced(moov_last(CLIP), "moov/trak/mdia/mdhd", mdhd)

    assert walk(clip).seconds == 2.5


def test_the_films_length_stands_in_for_an_unknown_one_of_the_track() -> None:
    mdhd = struct.pack(">IIIIII", 0, 0, 0, 1000, 0xFFFFFFFF, 0)
    clip = replaced(moov_last(CLIP), "moov/trak/mdia/mdhd", mdhd)

    assert walk(clip).seconds == 3.0


def test_wide_offsets_and_compact_sizes_are_read() -> None:
    clip = moov_last(CLIP)
    stbl = clip
    for step in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        stbl = dict(split_boxes(stbl))[step]
    tables = dict(split_boxes(stbl))
    sizes = struct.unpack_from(">72I", tables.pop(b"stsz"), 12)
    (offset,) = struct.unpack_from(">I", tables.pop(b"stco"), 8)
    wide = full_box(b"co64", ">IQ", 1, offset)
    compact = full_box(b"stz2", ">II72H", 16, 72, *sizes)

    def rebuilt(*others: bytes) -> bytes:
        body = b"".join(box(kind, table) for kind, table in tables.items()) + b"".join(others)
        return replaced(clip, "moov/trak/mdia/minf/stbl", body)

    assert walk(rebuilt(wide, compact)) == FACTS
    with pytest.raises(NotAVideoError):
        walk(rebuilt(full_box(b"co64", ">IQ", 1, offset + 1), compact))


@pytest.mark.parametrize("clip", [CLIP, moov_last(CLIP)], ids=["moov first", "moov last"])
def test_a_clip_cut_anywhere_is_refused(clip: bytes) -> None:
    accepted = []
    for end in range(len(clip)):
        try:
            walk(clip[:end])
        except NotAVideoError:
            continue
        accepted.append(end)

    assert accepted == []


@pytest.mark.parametrize(
    "content", [b"", b"\0", CLIP[:32], CLIP[:31], box(b"ftyp", b"isom") + box(b"mdat", bytes(999))]
)
def test_a_file_without_a_film_is_refused(content: bytes) -> None:
    with pytest.raises(NotAVideoError):
        walk(content)


def test_a_head_of_mp4_before_an_error_page_is_refused() -> None:
    with pytest.raises(NotAVideoError):
        walk(CLIP[:32], b"<html><body>upstream timed out</body></html>")


def test_a_film_of_sound_only_is_refused() -> None:
    clip = replaced(CLIP, "moov/trak/mdia/hdlr", full_box(b"", ">I4s12s", 0, b"soun", b"")[8:])

    with pytest.raises(NotAVideoError) as caught:
        walk(clip)

    assert caught.value.reason == "no_video"


@pytest.mark.parametrize("missing", ["mvhd", "trak", "trak/tkhd", "trak/mdia", "trak/mdia/minf/stbl/stsd"])
def test_a_film_whose_description_lacks_a_part_is_refused(missing: str) -> None:
    parent, _, kind = f"moov/{missing}".rpartition("/")
    body = CLIP
    for step in parent.split("/"):
        body = dict(split_boxes(body))[step.encode()]
    without = b"".join(box(found, inner) for found, inner in split_boxes(body) if found != kind.encode())

    with pytest.raises(NotAVideoError):
        walk(replaced(CLIP, parent, without))


def test_two_descriptions_are_refused() -> None:
    moov = dict(split_boxes(CLIP))[b"moov"]

    with pytest.raises(NotAVideoError, match="two"):
        walk(CLIP, box(b"moov", moov))


@pytest.mark.parametrize("header", [struct.pack(">I4s", 7, b"free"), struct.pack(">I4sQ", 1, b"free", 15)])
def test_a_box_smaller_than_its_own_header_is_refused(header: bytes) -> None:
    walked = FilmWalk()

    with pytest.raises(NotAVideoError) as caught:
        walked.feed(CLIP[:32] + header + bytes(600))

    assert caught.value.reason == "corrupt"


def test_more_boxes_than_a_film_needs_are_refused() -> None:
    moov = dict(split_boxes(CLIP))[b"moov"]

    with pytest.raises(NotAVideoError, match="more boxes"):
        walk(replaced(moov_last(CLIP), "moov", moov + box(b"free") * 20_000))


def in_chunks(clip: bytes, *, shifted_by: int = 0) -> bytes:
    """*clip*, description last, its 72 samples in chunks of 10, 10, 20, 20 and 12; the last moved by some bytes."""
    tables = "moov/trak/mdia/minf/stbl/"
    body = moov_last(clip)
    stbl = body
    for step in tables.rstrip("/").split("/"):
        stbl = dict(split_boxes(stbl))[step.encode()]
    sizes = struct.unpack_from(">72I", dict(split_boxes(stbl))[b"stsz"], 12)
    (first,) = struct.unpack_from(">I", dict(split_boxes(stbl))[b"stco"], 8)
    offsets = [first + sum(sizes[:sample]) for sample in (0, 10, 20, 40, 60)]
    offsets[-1] += shifted_by
    body = replaced(body, tables + "stsc", struct.pack(">II9I", 0, 3, 1, 10, 1, 3, 20, 1, 5, 12, 1))
    return replaced(body, tables + "stco", struct.pack(">II5I", 0, 5, *offsets))


def test_samples_in_runs_of_different_length_are_followed() -> None:
    assert walk(in_chunks(CLIP)) == FACTS


def test_a_last_run_that_ends_behind_the_media_is_refused() -> None:
    with pytest.raises(NotAVideoError) as caught:
        walk(in_chunks(CLIP, shifted_by=1))

    assert caught.value.reason == "truncated"


def test_samples_beyond_the_media_are_refused() -> None:
    tables = "moov/trak/mdia/minf/stbl/"
    beyond = replaced(moov_last(CLIP), tables + "stco", struct.pack(">III", 0, 1, 10_000_000))

    with pytest.raises(NotAVideoError) as caught:
        walk(beyond)

    assert caught.value.reason == "truncated"


def test_samples_without_a_place_are_refused() -> None:
    nowhere = replaced(moov_last(CLIP), "moov/trak/mdia/minf/stbl/stco", struct.pack(">II", 0, 0))

    with pytest.raises(NotAVideoError) as caught:
        walk(nowhere)

    assert caught.value.reason == "corrupt"


def test_a_description_too_large_to_keep_is_refused_before_it_is_kept() -> None:
    walked = FilmWalk()
    walked.feed(CLIP[:32])

    with pytest.raises(NotAVideoError):
        walked.feed(struct.pack(">I4s", MOST_KEPT_BYTES + 9, b"moov"))


def test_a_description_that_never_ends_is_refused() -> None:
    walked = FilmWalk()
    walked.feed(CLIP[:32] + struct.pack(">I4s", 0, b"moov"))

    with pytest.raises(NotAVideoError):
        walked.feed(bytes(MOST_KEPT_BYTES + 1))


@pytest.mark.parametrize(
    ("table", "body"),
    [
        ("stsz", struct.pack(">III", 0, 1, 0xFFFFFFFF)),
        ("stsz", struct.pack(">III", 0, 0, 0xFFFFFFFF)),
        ("stsc", struct.pack(">IIIIIIII", 0, 2, 1, 1, 1, 0xFFFFFFFF, 1, 1)),
        ("stco", struct.pack(">II", 0, 0xFFFFFFFF)),
    ],
)
def test_a_few_bytes_that_announce_billions_are_refused(table: str, body: bytes) -> None:
    clip = replaced(moov_last(CLIP), f"{TABLES}/{table}", body)

    assert refusal(clip) == "corrupt"


def test_a_chunk_that_announces_billions_of_samples_has_those_that_there_are() -> None:
    clip = replaced(moov_last(CLIP), f"{TABLES}/stsc", struct.pack(">IIIII", 0, 1, 1, 0xFFFFFFFF, 1))

    facts = walk(clip)

    assert (facts.seconds, facts.width) == (3.0, 640)
    assert facts.notes == ("the tables of a track have room for more samples than there are",)
