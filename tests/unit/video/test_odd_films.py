"""Films that are odd but whole: each is accepted, and what is odd about it is noted."""

from __future__ import annotations

import struct

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import body_at, box, full_box, moov_last, refusal, replaced, split_boxes, walk
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk
from worker.video.film_type import MOV, MP4

CLIP = make(640, 360, 3)
LAST = moov_last(CLIP)
"""The same film with its description last: its media stay where they are, whatever is put behind them."""

FTYP_BYTES = 8 + len(split_boxes(CLIP)[0][1])
TABLES = "moov/trak/mdia/minf/stbl"


def moved(clip: bytes, by: int) -> bytes:
    """*clip*, its description last, with the place of its only chunk *by* bytes further on."""
    version, count, place = struct.unpack(">III", body_at(clip, f"{TABLES}/stco"))
    return replaced(clip, f"{TABLES}/stco", struct.pack(">III", version, count, place + by))


BEHIND = {
    "a line end": b"\n",
    "three bytes": b"xyz",
    "zeros": bytes(100),
    "eight zeros": bytes(8),
    "an empty box without a name": b"\0\0\0\x08\0\0\0\0",
    "text": b"junkjunk",
    "long text": b"This film was made by a machine.\n" * 10_000,
    "a page": b"<html><body>Error</body></html>",
    "ID3v1": b"TAG" + b"A title of some film".ljust(125, b"\0"),
    "ID3v1 without a title": b"TAG" + bytes(125),
    "a box smaller than its header": struct.pack(">I4s", 7, b"free"),
}


@pytest.mark.parametrize("clip", [CLIP, LAST], ids=["moov first", "moov last"])
@pytest.mark.parametrize("junk", BEHIND.values(), ids=BEHIND.keys())
def test_bytes_behind_a_whole_film_are_noted(clip: bytes, junk: bytes) -> None:
    noted = (f"the file goes on behind the film for {len(junk)} bytes",)

    assert walk(clip, junk) == VideoFacts(3.0, 640, 360, "avc1", noted)
    assert walk(clip, junk, is_end_certain=False) == VideoFacts(3.0, 640, 360, "avc1", noted)


@pytest.mark.parametrize("cut", [20, 100])
def test_bytes_behind_a_film_that_is_cut_do_not_make_it_whole(cut: int) -> None:
    assert refusal(CLIP[:-cut], b"<html>") == "truncated"
    assert refusal(LAST[:-cut], b"\n" * (cut - 1)) in ("truncated", "corrupt")


@pytest.mark.parametrize("kind", [b"free", b"uuid", b"udta", b"mfra"])
def test_a_film_cut_within_what_follows_its_samples_is_cut(kind: bytes) -> None:
    assert refusal(CLIP, box(kind, bytes(1000))[:-1]) == "truncated"


@pytest.mark.parametrize("behind", [CLIP, CLIP[:1000], box(b"mdat", bytes(10))[:-1]], ids=["film", "half", "media"])
def test_a_second_film_behind_the_first_is_not_passed_over(behind: bytes) -> None:
    assert refusal(CLIP, behind) in ("truncated", "corrupt")


def test_boxes_that_lie_behind_what_is_no_box_are_not_passed_over() -> None:
    assert refusal(CLIP, b"\0\0\0\0\0\0\0\0", box(b"mdat", bytes(10))) == "corrupt"


@pytest.mark.parametrize("kind", [b"free", b"skip", b"wide", b"uuid"])
@pytest.mark.parametrize("size", [0, 8, 1000])
def test_padding_in_front_of_ftyp_is_noted(kind: bytes, size: int) -> None:
    padding = box(kind, bytes(size))
    name = kind.decode()

    facts = walk(padding, moved(LAST, len(padding)))

    assert (facts.seconds, facts.width, facts.height) == (3.0, 640, 360)
    assert facts.notes == (f"the file begins with a {name} box", "the ftyp box is not the first one")


@pytest.mark.parametrize("padding", [b"", box(b"wide"), box(b"free", bytes(20))])
def test_a_film_without_ftyp_is_quicktime(padding: bytes) -> None:
    film = padding + moved(LAST, len(padding) - FTYP_BYTES)[FTYP_BYTES:]
    walked = FilmWalk()

    walked.feed(film)
    facts = walked.finish()

    assert (facts.seconds, facts.width) == (3.0, 640)
    assert "there is no ftyp box in front of the film" in facts.notes
    assert walked.film_type is MOV


@pytest.mark.parametrize(("brand", "film_type"), [(b"qt  ", MOV), (b"isom", MP4), (b"mp42", MP4), (b"M4V ", MP4)])
def test_the_brand_tells_quicktime_from_mp4(brand: bytes, film_type: object) -> None:
    walked = FilmWalk()

    walked.feed(CLIP.replace(b"isom", brand, 1))

    assert walked.finish() == VideoFacts(3.0, 640, 360, "avc1")
    assert walked.film_type is film_type


@pytest.mark.parametrize(
    ("code", "codec", "notes"),
    [
        (b"raw ", "raw", ()),
        (b"\xa9xyz", "?xyz", ("the video's sample entry is odd",)),
        (b"\0\0\0\0", "????", ("the video's sample entry is odd",)),
        (b"    ", "", ("the video's sample entry is odd",)),
        (b"encv", "encv", ()),
    ],
)
def test_a_sample_entry_with_an_odd_name_is_read(code: bytes, codec: str, notes: tuple[str, ...]) -> None:
    assert walk(CLIP.replace(b"avc1\0", code + b"\0")) == VideoFacts(3.0, 640, 360, codec, notes)


def test_a_sample_entry_without_a_size_leaves_it_to_the_track() -> None:
    stsd = bytearray(body_at(CLIP, f"{TABLES}/stsd"))
    stsd[40:44] = bytes(4)

    assert walk(replaced(CLIP, f"{TABLES}/stsd", bytes(stsd))) == VideoFacts(3.0, 640, 360, "avc1")


def test_a_sample_entry_cut_short_leaves_all_to_the_track() -> None:
    stsd = struct.pack(">III4s", 0, 1, 8, b"odd1")

    facts = walk(replaced(LAST, f"{TABLES}/stsd", stsd))

    assert facts == VideoFacts(3.0, 640, 360, "odd1", ("the video's sample entry is odd",))


def of_many_samples(count: int) -> bytes:
    """A film of *count* samples of one byte each, every one a chunk of its own, its description last."""
    ftyp = split_boxes(CLIP)[0][1]
    film = replaced(LAST, f"{TABLES}/stsz", struct.pack(f">III{count}I", 0, 0, count, *[1] * count))
    film = replaced(film, f"{TABLES}/stts", struct.pack(">IIII", 0, 1, count, 1))
    film = replaced(film, f"{TABLES}/stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1))
    begin = 8 + len(ftyp) + 8
    film = replaced(film, f"{TABLES}/stco", struct.pack(f">II{count}I", 0, count, *range(begin, begin + count)))
    return replaced(film, "mdat", bytes(count))


def test_a_description_of_17_megabytes_is_read() -> None:
    film = of_many_samples(1_900_000)
    pieces = [film[at : at + 2**18] for at in range(0, len(film), 2**18)]

    assert len(body_at(film, "moov")) > 15_000_000
    assert walk(*pieces, box(b"free", bytes(2**20))) == VideoFacts(3.0, 640, 360, "avc1")


def test_a_description_may_hold_17_megabytes_of_anything_else() -> None:
    film = replaced(LAST, "moov", body_at(LAST, "moov") + box(b"udta", bytes(17_000_000)))

    assert walk(film) == VideoFacts(3.0, 640, 360, "avc1")


def turned(clip: bytes, matrix: tuple[int, ...], where: str = "moov/trak/tkhd", at: int = 40) -> bytes:
    """*clip* with the matrix of a header replaced."""
    header = body_at(clip, where)
    return replaced(clip, where, header[:at] + struct.pack(">9i", *matrix) + header[at + 36 :])


ONE = 1 << 16
QUARTERS = {
    "as it is": ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (640, 360)),
    "a quarter": ((0, ONE, 0, -ONE, 0, 0, 360 * ONE, 0, 1 << 30), (360, 640)),
    "a half": ((-ONE, 0, 0, 0, -ONE, 0, 640 * ONE, 360 * ONE, 1 << 30), (640, 360)),
    "three quarters": ((0, -ONE, 0, ONE, 0, 0, 0, 640 * ONE, 1 << 30), (360, 640)),
    "mirrored and a quarter": ((0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (360, 640)),
    "no matrix": ((0, 0, 0, 0, 0, 0, 0, 0, 0), (640, 360)),
}


@pytest.mark.parametrize(("matrix", "size"), QUARTERS.values(), ids=QUARTERS.keys())
def test_a_turned_film_has_the_size_that_is_shown(matrix: tuple[int, ...], size: tuple[int, int]) -> None:
    facts = walk(turned(LAST, matrix))

    assert (facts.width, facts.height) == size


def test_a_film_turned_as_a_whole_has_the_size_that_is_shown() -> None:
    quarter, _ = QUARTERS["a quarter"]

    facts = walk(turned(LAST, quarter, "moov/mvhd", 36))

    assert (facts.width, facts.height) == (360, 640)
    facts = walk(turned(turned(LAST, quarter), quarter, "moov/mvhd", 36))
    assert (facts.width, facts.height) == (640, 360)


def still(samples: int, width: int) -> bytes:
    """A video track of *samples* that all are the film's first byte of media."""
    trak = body_at(LAST, "moov/trak")
    stsd = bytearray(body_at(LAST, f"{TABLES}/stsd"))
    stsd[40:42] = struct.pack(">H", width)
    film = replaced(replaced(LAST, "moov", box(b"trak", trak)), f"{TABLES}/stsd", bytes(stsd))
    film = replaced(film, f"{TABLES}/stsz", struct.pack(">III", 0, 1, samples))
    film = replaced(film, f"{TABLES}/stts", struct.pack(">IIII", 0, 1, samples, 1))
    film = replaced(film, f"{TABLES}/stsc", struct.pack(">IIIII", 0, 1, 1, samples, 1))
    tkhd = bytearray(body_at(film, "moov/trak/tkhd"))
    tkhd[12:16] = struct.pack(">I", 2)  # an id of its own
    return box(b"trak", body_at(replaced(film, "moov/trak/tkhd", bytes(tkhd)), "moov/trak"))


@pytest.mark.parametrize("samples", [0, 1])
def test_a_still_in_front_is_not_taken_for_the_video(samples: int) -> None:
    moov = body_at(LAST, "moov")
    at = moov.index(b"trak") - 4
    film = replaced(LAST, "moov", moov[:at] + still(samples, 99) + moov[at:])

    assert walk(film) == VideoFacts(3.0, 640, 360, "avc1")


def test_the_first_of_two_videos_is_told() -> None:
    film = replaced(LAST, "moov", body_at(LAST, "moov") + still(2, 99))

    assert walk(film) == VideoFacts(3.0, 640, 360, "avc1")


def test_a_video_of_one_single_picture_is_noted() -> None:
    facts = walk(make(64, 48, 0.04))

    assert facts.notes == ("the video is one single picture",)


@pytest.mark.parametrize(("media_time", "seconds"), [(0, 1.5), (24, 1.5)])
def test_an_edit_list_tells_how_much_is_shown(media_time: int, seconds: float) -> None:
    edts = box(b"edts", full_box(b"elst", ">IIiI", 1, 1500, media_time, ONE))
    film = replaced(LAST, "moov/trak", body_at(LAST, "moov/trak") + edts)

    assert walk(film).seconds == seconds


@pytest.mark.parametrize("media_time", [-1, 72, 0x7FFFFFFF])
def test_an_edit_list_that_shows_nothing_leaves_no_film(media_time: int) -> None:
    edts = box(b"edts", full_box(b"elst", ">IIiI", 1, 1500, media_time, ONE))

    assert refusal(replaced(LAST, "moov/trak", body_at(LAST, "moov/trak") + edts)) == "corrupt"


def test_a_film_that_lasts_no_time_is_none() -> None:
    mdhd = struct.pack(">IIIIII", 0, 0, 0, 0xFFFFFFFF, 72, 0)

    assert refusal(replaced(LAST, "moov/trak/mdia/mdhd", mdhd)) == "corrupt"


def test_a_codec_without_its_configuration_is_noted() -> None:
    assert walk(CLIP.replace(b"avcC", b"xxxx")).notes == ("the video's sample entry is odd",)


def test_a_track_that_is_neither_video_nor_sound_may_lack_anything() -> None:
    hint = box(b"trak", box(b"mdia", full_box(b"hdlr", ">I4s12x", 0, b"hint")))
    film = replaced(LAST, "moov", body_at(LAST, "moov") + hint)

    assert walk(film) == VideoFacts(3.0, 640, 360, "avc1")


def test_tables_that_disagree_about_the_number_of_samples_are_noted() -> None:
    film = replaced(LAST, f"{TABLES}/stts", struct.pack(">IIII", 0, 1, 71, 1))

    assert walk(film).notes == ("the tables of a track disagree on how many samples there are",)
