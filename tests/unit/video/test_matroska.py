"""Whole WebM and Matroska films, and files that are not."""

from __future__ import annotations

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import in_pieces, refusal, walk
from tests.unit.video.matroska_films import (
    BLOCK,
    BLOCK_DURATION,
    BLOCK_GROUP,
    CLUSTER,
    CUES,
    EBML,
    SEGMENT,
    SIMPLE_BLOCK,
    TIMESTAMP,
    TRACKS,
    VOID,
    block,
    clusters,
    element,
    endless,
    film,
    frames,
    head,
    info,
    live_film,
    number,
    track,
)
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk
from worker.video.film_type import MKV, WEBM

CLIP = make(640, 360, 3)
FILM = film(640, 360, 3)
LIVE = live_film(640, 360, 3)
FACTS = VideoFacts(3.0, 640, 360, "V_MPEG4/ISO/AVC")
BEGINNING = info(3.0) + element(TRACKS, track(CLIP))


def of(*parts: bytes) -> bytes:
    """A film whose Segment holds these *parts* and tells its size."""
    return head() + element(SEGMENT, *parts)


@pytest.mark.parametrize("content", [FILM, LIVE, live_film(640, 360, 3, told=3.0)], ids=["sized", "live", "told"])
@pytest.mark.parametrize("size", [1, 2, 7, 13, 1000, 65536])
def test_a_whole_film_tells_its_size_and_length(content: bytes, size: int) -> None:
    assert walk(*in_pieces(content, size)) == FACTS


@pytest.mark.parametrize(("doc_type", "film_type"), [(b"webm", WEBM), (b"matroska", MKV), (b"webm\0\0", WEBM)])
def test_the_document_type_tells_webm_from_matroska(doc_type: bytes, film_type: object) -> None:
    walked = FilmWalk()

    walked.feed(film(64, 48, 1, doc_type=doc_type))

    assert walked.film_type is film_type
    assert walked.finish().seconds == 1.0


def test_another_kind_of_ebml_is_not_checked() -> None:
    assert refusal(film(64, 48, 1, doc_type=b"other")) == "unchecked"


@pytest.mark.parametrize("kind", [b"\x42\xf7", b"\x42\x85"])
def test_a_version_that_there_is_not_is_not_checked(kind: bytes) -> None:
    newer = element(EBML, number(kind, 9), element(b"\x42\x82", b"webm"))

    assert refusal(newer, FILM[len(head()) :]) == "unchecked"


def test_a_film_cut_anywhere_is_refused() -> None:
    content = film(64, 48, 1)

    assert {refusal(content[:end]) for end in range(len(content))} == {"truncated"}


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_live_film_cut_within_its_last_block_is_refused(cut: int) -> None:
    assert refusal(LIVE[:-cut]) == "truncated"


def test_a_live_film_needs_a_certain_end() -> None:
    assert refusal(LIVE, is_end_certain=False) == "truncated"


def test_a_live_film_that_is_as_long_as_it_tells_needs_none() -> None:
    assert walk(live_film(640, 360, 3, told=3.0), is_end_certain=False) == FACTS


@pytest.mark.parametrize("is_end_certain", [True, False])
def test_a_live_film_shorter_than_it_tells_is_cut(is_end_certain: bool) -> None:
    content = live_film(640, 360, 3, told=3.0)
    last = len(clusters(CLIP, is_sized=False)[-1])

    assert refusal(content[:-last], is_end_certain=is_end_certain) == "truncated"


def test_a_film_that_tells_its_size_needs_no_certain_end() -> None:
    assert walk(FILM, is_end_certain=False) == FACTS


def test_a_film_whose_bytes_are_all_there_may_tell_a_wrong_length() -> None:
    facts = walk(of(BEGINNING, *clusters(CLIP)[:2]))

    assert facts.seconds == 2.0
    assert facts.notes == ("the film tells a length of 3.0 s, and lasts 2.0 s",)


@pytest.mark.parametrize("content", [FILM, LIVE], ids=["sized", "live"])
def test_a_second_film_behind_the_first_is_not_passed_over(content: bytes) -> None:
    assert refusal(content, FILM) == "corrupt"


def test_clusters_of_unknown_size_end_where_other_elements_begin() -> None:
    content = of(BEGINNING, *clusters(CLIP, is_sized=False), element(CUES, bytes(20)), element(VOID, bytes(9)))

    assert walk(content) == FACTS


def test_groups_of_blocks_tell_how_long_a_picture_lasts() -> None:
    groups = [
        element(BLOCK_GROUP, element(BLOCK, block(picture, 40 * at)), number(BLOCK_DURATION, 500))
        for at, picture in enumerate(frames(CLIP)[:2])
    ]
    content = of(info(None), element(TRACKS, track(CLIP)), element(CLUSTER, number(TIMESTAMP, 0), *groups))

    assert walk(content).seconds == 0.54


def test_a_recording_that_begins_late_lasts_as_long_as_it_shows() -> None:
    later = [
        part.replace(number(TIMESTAMP, 1000 * at), number(TIMESTAMP, 1000 * at + 60_000))
        for at, part in enumerate(clusters(CLIP, is_sized=False))
    ]

    assert walk(head() + endless(SEGMENT, info(None), element(TRACKS, track(CLIP)), *later)) == FACTS


@pytest.mark.parametrize("junk", [b"\n", bytes(50), b"TAG" + bytes(125), b"<html></html>"])
def test_bytes_behind_a_whole_film_are_noted(junk: bytes) -> None:
    noted = (f"the file goes on behind the film for {len(junk)} bytes",)

    assert walk(FILM, junk) == VideoFacts(3.0, 640, 360, "V_MPEG4/ISO/AVC", noted)


def test_more_clusters_behind_a_whole_film_are_not_passed_over() -> None:
    assert refusal(FILM, clusters(CLIP)[0]) == "corrupt"


def test_zeros_behind_a_live_film_are_noted() -> None:
    assert walk(LIVE, bytes(50)).notes == ("the file goes on behind the film for 50 bytes",)


def test_a_film_of_sound_only_is_refused() -> None:
    content = of(info(3.0), element(TRACKS, track(CLIP, kind=2)), *clusters(CLIP))

    assert refusal(content) == "no_video"


def test_a_still_in_front_is_not_taken_for_the_video() -> None:
    first = clusters(CLIP)[0]
    extra = element(CLUSTER, number(TIMESTAMP, 0), element(SIMPLE_BLOCK, block(b"still", 0, index=2)))
    tracks = element(TRACKS, track(make(64, 48, 1), index=2), track(CLIP))

    assert walk(of(info(3.0), tracks, extra, first, *clusters(CLIP)[1:])) == FACTS


@pytest.mark.parametrize(
    ("roll", "size"), [(0.0, (640, 360)), (90.0, (360, 640)), (-90.0, (360, 640)), (180.0, (640, 360))]
)
def test_a_turned_film_has_the_size_that_is_shown(roll: float, size: tuple[int, int]) -> None:
    facts = walk(of(info(3.0), element(TRACKS, track(CLIP, roll=roll)), *clusters(CLIP)))

    assert (facts.width, facts.height) == size


REFUSED = {
    "no Segment": (head(), "truncated"),
    "no clusters": (of(BEGINNING), "truncated"),
    "no tracks": (of(info(3.0), *clusters(CLIP)), "corrupt"),
    "a block of no track": (
        of(BEGINNING, *clusters(CLIP), element(CLUSTER, element(SIMPLE_BLOCK, block(b"x", 0, index=9)))),
        "corrupt",
    ),
    "a block without a head": (of(BEGINNING, element(CLUSTER, element(SIMPLE_BLOCK, b"\x81"))), "corrupt"),
    "empty blocks": (
        of(info(None), element(TRACKS, track(CLIP)), element(CLUSTER, element(SIMPLE_BLOCK, block(b"", 0)))),
        "corrupt",
    ),
    "an element beyond its cluster": (of(BEGINNING, element(CLUSTER, SIMPLE_BLOCK + b"\x90" + bytes(3))), "corrupt"),
    "tracks of unknown size": (of(info(3.0), endless(TRACKS, track(CLIP))), "corrupt"),
    "no element": (of(BEGINNING, bytes(100)), "corrupt"),
    "tracks beyond bounds": (of(element(TRACKS, bytes(5_000_000))), "unchecked"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_film_that_is_none_is_refused(content: bytes, reason: str) -> None:
    assert refusal(content) == reason
