"""Films with a slip that does no harm: the tables of their samples and the samples are whole, so they are accepted."""

from __future__ import annotations

import struct

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import body_at, box, fragmented, full_box, moov_last, refusal, replaced, split_boxes, walk
from tests.unit.video.test_fragments import BEGINNING, FRAGMENT, LAST, PLACES, mfra, sidx

CLIP = moov_last(make(640, 360, 3))
TRAK = "moov/trak"
STBL = f"{TRAK}/mdia/minf/stbl"
SAMPLES = 72
ONE = 1 << 16
EDIT = struct.pack(">IiI", 3000, 0, ONE)
FILM = BEGINNING + FRAGMENT * 3
UNFIT = "a box of the film's description does not fit in the one around it"


def noted(film: bytes) -> str:
    """The notes about a *film* that is whole all the same."""
    facts = walk(film)
    assert (facts.seconds, facts.width, facts.height) == (3.0, 640, 360)
    return "; ".join(facts.notes)


def with_more(path: str, *boxes: bytes) -> bytes:
    """The clip with *boxes* at the end of the one at *path*."""
    return replaced(CLIP, path, body_at(CLIP, path) + b"".join(boxes))


def edts(count: int, edits: bytes = EDIT) -> bytes:
    return box(b"edts", box(b"elst", struct.pack(">II", 0, count), edits))


def claiming(kind: bytes, body: bytes, too_many: int) -> bytes:
    """A box whose size is told wrong by so many bytes."""
    return struct.pack(">I4s", 8 + len(body) + too_many, kind) + body


@pytest.mark.parametrize("count", [2, 100, 0xFFFFFFFF])
def test_an_edit_list_that_counts_too_many_has_the_edits_that_are_there(count: int) -> None:
    assert noted(with_more(TRAK, edts(count))) == "the elst table of a track is shorter than it says"


def test_an_edit_list_cut_to_its_head_tells_nothing() -> None:
    assert noted(with_more(TRAK, box(b"edts", box(b"elst", bytes(4))))) == "the edit list of a track is cut short"


def test_the_first_of_two_edit_lists_counts() -> None:
    other = edts(1, struct.pack(">IiI", 1500, 0, ONE))

    assert noted(with_more(TRAK, edts(1), other)) == "the film's description has two edts boxes in one place"
    both = box(b"edts", edts(1)[8:], other[8:])
    assert noted(with_more(TRAK, both)) == "the film's description has two elst boxes in one place"


@pytest.mark.parametrize("kind", ["stsz", "stsc", "stco", "stts"])
def test_a_table_that_is_there_twice_and_says_the_same_is_noted(kind: str) -> None:
    again = box(kind.encode(), body_at(CLIP, f"{STBL}/{kind}"))

    assert noted(with_more(STBL, again)) == f"the film's description has two {kind} boxes in one place"


@pytest.mark.parametrize("kind", ["mvhd", "trak/mdia/hdlr", "trak/mdia/minf/dinf", "trak/mdia/minf/dinf/dref"])
def test_a_header_that_is_there_twice_is_noted(kind: str) -> None:
    parent, _, name = f"moov/{kind}".rpartition("/")

    film = with_more(parent, box(name.encode(), body_at(CLIP, f"moov/{kind}")))

    assert noted(film) == f"the film's description has two {name} boxes in one place"


COUNTED_TOO_FAR = {
    "stco": struct.pack(">II", 0, 2) + body_at(CLIP, f"{STBL}/stco")[8:],
    "stts": struct.pack(">IIII", 0, 2, SAMPLES, 1),
    "stss": struct.pack(">III", 0, SAMPLES, 1),
}


@pytest.mark.parametrize(("kind", "body"), COUNTED_TOO_FAR.items())
def test_a_table_that_counts_a_row_too_many_is_noted_where_all_others_agree(kind: str, body: bytes) -> None:
    film = replaced(CLIP, STBL, without(body_at(CLIP, STBL), kind.encode()) + box(kind.encode(), body))

    assert noted(film) == f"the {kind} table of a track is shorter than it says"


WITHOUT_ROWS = {
    "stco": struct.pack(">II", 0, 1),
    "stsz": struct.pack(">III", 0, 0, SAMPLES),
    "stsc": struct.pack(">IIIII", 0, 2, 1, SAMPLES, 1),
}


@pytest.mark.parametrize(("kind", "body"), WITHOUT_ROWS.items())
def test_a_table_that_decoders_refuse_is_no_slip(kind: str, body: bytes) -> None:
    assert refusal(replaced(CLIP, f"{STBL}/{kind}", body)) == "corrupt"
    empty = FILM.replace(box(kind.encode(), bytes(8 + 4 * (kind == "stsz"))), box(kind.encode(), body))
    assert empty != FILM
    assert refusal(empty) == "corrupt"


def without(content: bytes, kind: bytes) -> bytes:
    return b"".join(box(found, body) for found, body in split_boxes(content) if found != kind)


def test_sizes_that_are_counted_one_too_many_are_noted_where_all_others_agree() -> None:
    version, each, count = struct.unpack(">III", body_at(CLIP, f"{STBL}/stsz")[:12])
    sizes = [each] * count if each else struct.unpack(f">{count}I", body_at(CLIP, f"{STBL}/stsz")[12:])

    film = replaced(CLIP, f"{STBL}/stsz", struct.pack(f">III{count}I", version, 0, count + 1, *sizes))

    assert noted(film) == "the stsz table of a track is shorter than it says"


@pytest.mark.parametrize("too_many", [1, 4, 100, 1 << 24])
@pytest.mark.parametrize("path", ["moov", TRAK])
def test_a_box_of_words_whose_size_is_wrong_is_noted(path: str, too_many: int) -> None:
    words = box(b"meta", bytes(4), full_box(b"hdlr", ">I4s12x", 0, b"mdir"), b"words")

    assert noted(with_more(path, claiming(b"udta", words, too_many))) == UNFIT


@pytest.mark.parametrize("path", ["moov", TRAK, f"{TRAK}/mdia", f"{TRAK}/mdia/minf", STBL])
def test_bytes_that_are_no_box_behind_the_boxes_of_one_are_noted(path: str) -> None:
    assert noted(with_more(path, b"\xff\xfe" * 6)) == UNFIT


def test_a_box_whose_size_is_wrong_in_front_of_a_track_is_no_slip() -> None:
    moov = body_at(CLIP, "moov")
    at = moov.index(b"trak") - 4

    film = replaced(CLIP, "moov", moov[:at] + claiming(b"udta", b"words", len(moov)) + moov[at:])

    assert refusal(film) == "corrupt"


def test_a_table_that_does_not_fit_is_no_slip() -> None:
    stbl = without(body_at(CLIP, STBL), b"stco") + claiming(b"stco", body_at(CLIP, f"{STBL}/stco"), 4)

    assert refusal(replaced(CLIP, STBL, stbl)) == "corrupt"


@pytest.mark.parametrize("trak", [b"", full_box(b"tkhd", ">III68x", 0, 0, 9), box(b"mdia"), box(b"mdia", box(b"mdhd"))])
def test_a_track_without_media_is_noted(trak: bytes) -> None:
    assert noted(with_more("moov", box(b"trak", trak))) == "a track of the film has no media"


def test_a_track_with_samples_of_no_known_kind_is_no_slip() -> None:
    mdia = without(body_at(CLIP, f"{TRAK}/mdia"), b"hdlr")

    assert refusal(with_more("moov", box(b"trak", box(b"mdia", mdia)))) == "corrupt"


def test_a_header_of_an_unknown_version_tells_nothing() -> None:
    film = replaced(CLIP, "moov/mvhd", b"\2" + body_at(CLIP, "moov/mvhd")[1:])

    assert noted(film) == "the film's header is of a version that there is not"


def test_media_whose_box_says_too_much_are_whole_where_all_that_was_sent_came() -> None:
    clip = make(640, 360, 3)
    media = dict(split_boxes(clip))[b"mdat"]
    film = clip[: -8 - len(media)] + claiming(b"mdat", media, 8)

    assert noted(film) == "the film's media data are shorter than their box says"
    assert refusal(film, is_end_certain=False) == "truncated"
    assert refusal(film[:-1]) == "truncated"


STALE = "the film's index names fragments where there are none"


@pytest.mark.parametrize("shifted_by", [-8, 100, 1 << 20])
def test_a_last_index_of_other_places_is_stale(shifted_by: int) -> None:
    assert noted(FILM + mfra([place + shifted_by for place in PLACES])) == STALE
    assert noted(FILM + mfra([place + shifted_by for place in range(100, 2000, 100)])) == STALE


def test_a_last_index_that_counts_too_many_has_the_rows_that_are_there() -> None:
    film = FILM + mfra(PLACES).replace(struct.pack(">III", 1, 0, 3), struct.pack(">III", 1, 0, 4))

    assert noted(film) == "the tfra table of a track is shorter than it says"


def test_a_last_index_cut_to_its_head_tells_nothing() -> None:
    film = FILM + box(b"mfra", box(b"tfra", bytes(8)))

    assert noted(film) == "the film's index of fragments is shorter than it says"


def test_a_first_index_that_counts_too_many_has_the_rows_that_are_there() -> None:
    index = sidx([LAST] * 3).replace(struct.pack(">H", 3) + struct.pack(">I", LAST), struct.pack(">HI", 4, LAST), 1)

    assert noted(BEGINNING + index + FRAGMENT * 3) == "the sidx table of a track is shorter than it says"


def test_a_length_with_fragments_that_is_cut_short_tells_nothing() -> None:
    trex = box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1, 100, 0))
    extension = box(b"mvex", trex, box(b"mehd", bytes(2)))

    film = fragmented(640, 360, fragments=3, samples=24, timescale=24, extension=extension)

    assert noted(film) == "the film's length with its fragments is cut short"
