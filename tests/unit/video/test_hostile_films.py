"""Small films that announce much work: each is judged at a bounded cost."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import box, fragmented, full_box, moov_last, replaced
from tests.unit.video.matroska_films import CLUSTER, SEGMENT, SIMPLE_BLOCK, element, head
from worker.errors import NotAVideoError
from worker.video import bounds
from worker.video.bounds import MOST_CPU_SECONDS, MOST_ROWS
from worker.video.film import FilmWalk

if TYPE_CHECKING:
    from _typeshed import TraceFunction

CLIP = moov_last(make(640, 360, 3))
TABLES = "moov/trak/mdia/minf/stbl"
VIDEO = full_box(b"hdlr", ">I4s12x", 0, b"vide")


def judge(content: bytes, clock: Callable[[], float] = lambda: 0.0) -> str:
    """The reason why *content* is refused, or nothing."""
    walked = FilmWalk(clock)
    try:
        walked.feed(content)
        walked.finish()
    except NotAVideoError as err:
        return str(err)
    return ""


def defaults_times_tracks(tracks: int, defaults: int) -> bytes:
    """A fragment of so many *tracks*' parts, in a film of so many *defaults* of tracks."""
    trex = b"".join(full_box(b"trex", ">IIIII", 1 + index, 1, 1, 1, 0) for index in range(defaults))
    film = fragmented(64, 48, fragments=0, samples=0, timescale=24, extension=box(b"mvex", trex))
    return film + box(b"moof", box(b"traf", full_box(b"tfhd", ">I", 1), full_box(b"trun", ">I", 0)) * tracks)


def deep_tracks(tracks: int, children: int) -> bytes:
    """A description whose every level holds as many boxes as it may."""
    padding = box(b"free") * children
    stbl = box(b"stbl", padding, full_box(b"stsd", ">I", 1))
    mdia = box(b"mdia", padding, full_box(b"mdhd", ">IIIII", 0, 0, 1, 1, 0), VIDEO, box(b"minf", padding, stbl))
    traks = (box(b"trak", padding, full_box(b"tkhd", ">III68x", 0, 0, 1 + index), mdia) for index in range(tracks))
    return box(b"ftyp", b"isom") + box(b"moov", full_box(b"mvhd", ">IIII", 0, 0, 1, 1), *traks)


def one_chunk_per_sample(samples: int) -> bytes:
    """A film whose every sample has a chunk, and every chunk a row that tells how many samples it has."""
    rows = b"".join(struct.pack(">III", 1 + index, 1, 1) for index in range(samples))
    film = replaced(CLIP, f"{TABLES}/stsc", struct.pack(">II", 0, samples) + rows)
    film = replaced(film, f"{TABLES}/stsz", struct.pack(f">III{samples}I", 0, 0, samples, *[1] * samples))
    return replaced(film, f"{TABLES}/stco", struct.pack(f">II{samples}I", 0, samples, *[48] * samples))


HOSTILE = {
    "defaults of tracks": lambda size: defaults_times_tracks(size, 9 * size),
    "deep tracks": lambda size: deep_tracks(10, size),
    "chunks": one_chunk_per_sample,
}


def steps(content: bytes) -> int:
    """The number of lines of Python that run until *content* is judged."""
    taken = 0

    def count_step(*_: object) -> TraceFunction:
        nonlocal taken
        taken += 1
        return count_step

    before = sys.gettrace()
    sys.settrace(count_step)
    try:
        judge(content)
    finally:
        sys.settrace(before)
    return taken


@pytest.mark.parametrize("of_size", HOSTILE.values(), ids=HOSTILE.keys())
def test_twice_the_rows_take_at_most_twice_the_steps(of_size: Callable[[int], bytes]) -> None:
    assert steps(of_size(400)) <= 2.1 * steps(of_size(200))


def test_all_rows_together_are_bounded() -> None:
    most_in_one = 2_100_000
    film = one_chunk_per_sample(1)
    film = replaced(film, f"{TABLES}/stsz", struct.pack(">III", 0, 0, most_in_one) + bytes(4 * most_in_one))
    film = replaced(film, f"{TABLES}/stco", struct.pack(">II", 0, most_in_one) + bytes(4 * most_in_one))

    assert f"(unchecked): the film's tables have more than {MOST_ROWS} rows" in judge(film)


@pytest.mark.parametrize(
    "content",
    [
        CLIP + box(b"free") * 2000,
        deep_tracks(20, 200),
        head() + element(SEGMENT, element(CLUSTER, element(SIMPLE_BLOCK, b"\x81\0\0\0") * 2000)),
    ],
    ids=["side by side", "in each other", "in Matroska"],
)
def test_all_boxes_together_are_bounded(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_BOXES", 2000)

    assert "(unchecked): the film has more than 2000 boxes" in judge(content)


def test_more_boxes_in_one_than_a_film_needs_are_not_kept() -> None:
    assert "(unchecked): a box holds more boxes than a film needs" in judge(deep_tracks(1, 10_001))


def test_more_tracks_than_a_film_needs_are_not_read() -> None:
    assert "(unchecked): there are more than 64 tracks" in judge(deep_tracks(65, 0))


@pytest.mark.parametrize(
    "content",
    [deep_tracks(60, 1000), one_chunk_per_sample(700_000), CLIP + box(b"free") * 200_000],
    ids=["deep tracks", "chunks", "boxes"],
)
def test_a_check_that_takes_too_long_ends(content: bytes) -> None:
    looks = count()

    refused = judge(content, lambda: next(looks) * 0.5)

    assert f"(unchecked): checking the film took over {MOST_CPU_SECONDS:g} s of CPU time" in refused


def test_time_between_two_pieces_is_not_counted() -> None:
    now = 0.0
    walked = FilmWalk(lambda: now)

    for at in range(0, len(CLIP), 100):
        walked.feed(CLIP[at : at + 100])
        now += MOST_CPU_SECONDS

    assert walked.finish().seconds == 3.0


def test_a_usual_film_takes_few_looks_at_the_clock() -> None:
    looks = count()

    walked = FilmWalk(lambda: float(next(looks)) / 1000)
    walked.feed(CLIP)
    walked.finish()

    assert next(looks) < 50
