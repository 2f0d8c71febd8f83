"""Whole fragmented films: their samples, and the indexes that tell their length."""

from __future__ import annotations

import struct

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import (
    FRAGMENT_DEFAULTS,
    HEADER_BYTES,
    body_at,
    box,
    fragment,
    fragmented,
    full_box,
    moov_last,
    refusal,
    replaced,
    split_boxes,
    walk,
)
from worker.video.facts import VideoFacts

FACTS = VideoFacts(3.0, 640, 360, "avc1")
FILM = fragmented(640, 360, fragments=3, samples=24, timescale=24)
BEGINNING = fragmented(640, 360, fragments=0, samples=0, timescale=24)
FRAGMENT = fragment(24)
LAST = len(FRAGMENT)
HEADLESS_TRACK = full_box(b"tfhd", ">I", 1)


def test_a_fragmented_film_is_read() -> None:
    assert walk(FILM) == FACTS


def test_a_film_that_begins_whole_and_goes_on_in_fragments_lasts_as_long_as_both() -> None:
    clip = moov_last(make(640, 360, 3))
    begun = replaced(clip, "moov", dict(split_boxes(clip))[b"moov"] + FRAGMENT_DEFAULTS)

    assert walk(begun, fragment(24), fragment(12)).seconds == 3.0 + 1.0 + 0.5


def of_runs(form: str, base: int) -> bytes:
    """A track's part of a fragment that stands at *base*, told in one of the *form*s; its media follow at once."""

    def track(offset: int) -> bytes:
        return {
            "defaults of the fragment": full_box(b"tfhd", ">IQIII", 1, base + offset, 1, 2, 50, flags=0x1B)
            + full_box(b"trun", ">I", 12),
            "numbers of each sample": HEADLESS_TRACK
            + full_box(b"trun", ">IiI36I", 12, offset, 0, *[2, 50, 0] * 12, flags=0xB05),
            "two runs": HEADLESS_TRACK
            + full_box(b"trun", ">Ii12I", 12, offset, *[1] * 12, flags=0x101)
            + full_box(b"trun", ">I12I", 12, *[1] * 12, flags=0x100),
            "counted from the fragment": full_box(b"tfhd", ">I", 1, flags=0x20000)
            + full_box(b"trun", ">Ii", 24, offset, flags=1),
        }[form]

    return box(b"moof", box(b"traf", track(len(box(b"moof", box(b"traf", track(0)))) + HEADER_BYTES)))


@pytest.mark.parametrize(
    "form", ["defaults of the fragment", "numbers of each sample", "two runs", "counted from the fragment"]
)
def test_a_fragment_tells_its_samples_in_every_form(form: str) -> None:
    moof = of_runs(form, len(BEGINNING))

    assert walk(BEGINNING, moof, box(b"mdat", bytes(2400))).seconds == 1.0
    assert refusal(BEGINNING, moof, box(b"mdat", bytes(599))) == "truncated"


def test_a_fragment_may_hold_runs_of_another_track_as_well() -> None:
    trak = body_at(BEGINNING, "moov/trak")
    sound = replaced(
        replaced(box(b"trak", trak), "trak/tkhd", struct.pack(">5I60x", 0, 0, 0, 2, 0)),
        "trak/mdia/hdlr",
        struct.pack(">II4s13x", 0, 0, b"soun"),
    )
    film = replaced(BEGINNING, "moov", body_at(BEGINNING, "moov") + sound)
    defaults = [full_box(b"trex", ">IIIII", index, 1, 1, 100, 0) for index in (1, 2)]
    film = replaced(film, "moov/mvex", b"".join(defaults))

    def moof(offset: int) -> bytes:
        video = box(b"traf", HEADLESS_TRACK, full_box(b"trun", ">Ii", 24, offset, flags=1))
        beside = box(b"traf", full_box(b"tfhd", ">II", 2, 10, flags=0x10), full_box(b"trun", ">I", 60))
        return box(b"moof", video, beside)

    whole = moof(len(moof(0)) + HEADER_BYTES)

    assert walk(film, whole, box(b"mdat", bytes(3000))).seconds == 1.0
    assert refusal(film, whole, box(b"mdat", bytes(2999))) == "truncated"


def test_a_fragmented_film_without_its_fragments_is_refused() -> None:
    assert refusal(BEGINNING) == "truncated"


def test_a_fragment_without_its_media_is_refused() -> None:
    without = b"".join(box(kind, b"" if kind == b"mdat" else body) for kind, body in split_boxes(FILM))

    assert refusal(without) == "truncated"


@pytest.mark.parametrize("shifted_by", [-1, 1, 1 << 20, -(1 << 20), 0x7FFFFF00])
def test_a_fragment_whose_samples_lie_outside_its_media_is_refused(shifted_by: int) -> None:
    assert refusal(BEGINNING, fragment(24, shifted_by=shifted_by), FRAGMENT) in ("truncated", "corrupt")


def test_a_fragment_of_no_track_is_refused() -> None:
    assert refusal(FILM, fragment(24, track=7)) == "corrupt"


def test_a_fragment_of_a_track_that_announces_none_is_refused() -> None:
    of_another = box(b"mvex", full_box(b"trex", ">IIIII", 2, 1, 1, 100, 0))

    assert refusal(fragmented(640, 360, fragments=1, samples=24, timescale=24, extension=of_another)) == "corrupt"


@pytest.mark.parametrize("entry", [0, 2, 0xFFFFFFFF])
def test_a_fragment_whose_samples_are_not_described_is_refused(entry: int) -> None:
    by_default = box(b"mvex", full_box(b"trex", ">IIIII", 1, entry, 1, 100, 0))
    of_its_own = full_box(b"tfhd", ">II", 1, entry, flags=0x2)

    assert refusal(fragmented(640, 360, fragments=1, samples=24, timescale=24, extension=by_default)) == "corrupt"
    assert refusal(FILM, box(b"moof", box(b"traf", of_its_own))) == "corrupt"


def test_samples_without_bytes_are_no_pictures() -> None:
    no_size = box(b"mvex", full_box(b"trex", ">IIIII", 1, 1, 1, 0, 0))
    film = fragmented(640, 360, fragments=3, samples=24, timescale=24, extension=no_size)

    assert refusal(film) == "corrupt"


# --- where nobody tells how many bytes there should be -------------------------------------------------------


def sidx(references: list[int], *, is_long: bool = False) -> bytes:
    """A segment index of so many bytes each, which follow at once."""
    body = struct.pack(">QQ2xH" if is_long else ">II2xH", 0, 0, len(references))
    rows = b"".join(struct.pack(">III", size, 24, 1 << 31) for size in references)
    return box(b"sidx", struct.pack(">B3xII", is_long, 1, 24), body, rows)


def mfra(places: list[int], *, is_long: bool = False) -> bytes:
    """The index at a file's end, of fragments at these *places*."""
    rows = b"".join(struct.pack(">QQ3B" if is_long else ">II3B", 0, place, 1, 1, 1) for place in places)
    tfra = box(b"tfra", struct.pack(">B3xIII", is_long, 1, 0, len(places)), rows)
    return box(b"mfra", tfra, full_box(b"mfro", ">I", 0))


def with_length(fragments: int) -> bytes:
    """A film of some *fragments* that tells a length of 3 s."""
    extension = box(b"mvex", FRAGMENT_DEFAULTS[8:], full_box(b"mehd", ">I", 72))
    return fragmented(640, 360, fragments=fragments, samples=24, timescale=24, extension=extension)


PLACES = [len(BEGINNING) + LAST * index for index in range(3)]
INDEXED = {
    "sidx": BEGINNING + sidx([LAST] * 3) + FRAGMENT * 3,
    "sidx of 64 bits": BEGINNING + sidx([LAST] * 3, is_long=True) + FRAGMENT * 3,
    "mehd": with_length(3),
    "mfra": FILM + mfra(PLACES),
    "mfra of 64 bits": FILM + mfra(PLACES, is_long=True),
}


@pytest.mark.parametrize("film", INDEXED.values(), ids=INDEXED.keys())
def test_a_film_that_its_own_index_proves_whole_needs_no_certain_end(film: bytes) -> None:
    assert walk(film, is_end_certain=False) == FACTS


@pytest.mark.parametrize("name", ["sidx", "sidx of 64 bits", "mehd"])
@pytest.mark.parametrize("is_end_certain", [True, False])
def test_a_film_shorter_than_its_own_index_is_cut(name: str, is_end_certain: bool) -> None:
    assert refusal(INDEXED[name][:-LAST], is_end_certain=is_end_certain) == "truncated"


def test_a_film_that_lacks_a_fragment_of_its_last_index_is_cut() -> None:
    assert refusal(BEGINNING, FRAGMENT * 2, mfra(PLACES)) == "truncated"


def test_a_film_cut_before_its_last_index_is_cut_unless_the_end_is_certain() -> None:
    assert refusal(FILM, is_end_certain=False) == "truncated"
    assert walk(FILM, is_end_certain=True) == FACTS


def test_an_index_of_each_fragment_alone_proves_nothing() -> None:
    film = BEGINNING + (sidx([LAST]) + FRAGMENT) * 3

    assert refusal(film, is_end_certain=False) == "truncated"
    assert walk(film) == FACTS


@pytest.mark.parametrize("clip", [make(640, 360, 3), moov_last(make(640, 360, 3))], ids=["moov first", "moov last"])
def test_a_film_with_a_table_of_all_samples_proves_itself_whole(clip: bytes) -> None:
    assert walk(clip, is_end_certain=False) == FACTS


def test_a_film_that_announces_fragments_and_has_none_proves_nothing() -> None:
    clip = moov_last(make(640, 360, 3))
    announced = replaced(clip, "moov", dict(split_boxes(clip))[b"moov"] + FRAGMENT_DEFAULTS)

    assert refusal(announced, is_end_certain=False) == "truncated"
    assert walk(announced) == FACTS


@pytest.mark.parametrize("junk", [b"\n", bytes(100), b"TAG" + bytes(125)], ids=["a line end", "zeros", "ID3v1"])
def test_what_was_put_behind_a_fragmented_film_on_purpose_does_no_harm(junk: bytes) -> None:
    facts = walk(FILM, junk)

    assert (facts.seconds, facts.notes) == (3.0, (f"the file goes on behind the film for {len(junk)} bytes",))


@pytest.mark.parametrize("junk", [b"<html>upstream timed out</html>", b"error reading upstream\n" * 20])
def test_an_error_where_the_next_fragment_should_be_is_a_cut(junk: bytes) -> None:
    assert refusal(FILM, junk) == "truncated"
    assert walk(INDEXED["mfra"], junk).seconds == 3.0
