"""A stream of chunks becomes a checked film: its type is known early, its end must be certain or proven."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest

from deploy.sandbox.mp4 import make
from tests.unit.video.films import fragmented, in_pieces
from tests.unit.video.matroska_films import film
from worker.errors import DownloadError
from worker.video.film_type import MKV, MOV, MP4, WEBM, FilmType
from worker.video.verified_stream import Intake

CLIP = make(640, 360, 3)
FRAGMENTED = fragmented(640, 360, fragments=3, samples=24, timescale=24)
TYPES = [
    (CLIP, MP4),
    (CLIP.replace(b"isom", b"qt  ", 1), MOV),
    (film(64, 48, 1), WEBM),
    (film(64, 48, 1, doc_type=b"matroska"), MKV),
]


@pytest.mark.parametrize(("content", "film_type"), TYPES)
@pytest.mark.parametrize("size", [100, 100_000])
def test_the_type_of_a_film_is_known_with_its_first_bytes(content: bytes, film_type: FilmType, size: int) -> None:
    intake = Intake(in_pieces(content, size))

    intake.fill(bytearray(1000))

    assert intake.film_type is film_type
    stored = intake.drain()
    assert (stored.film_type, stored.bytes, stored.sha256) == (film_type, len(content), sha256(content).hexdigest())


def test_each_type_has_a_content_type_and_a_suffix_of_its_own() -> None:
    assert [(film_type.content_type, film_type.suffix) for _, film_type in TYPES] == [
        ("video/mp4", "mp4"),
        ("video/quicktime", "mov"),
        ("video/webm", "webm"),
        ("video/matroska", "mkv"),
    ]


def test_the_notes_of_a_film_are_facts_of_its_content() -> None:
    stored = Intake([CLIP, b"\n"]).drain()

    assert stored.facts.notes == ("the file goes on behind the film for 1 bytes",)


def test_a_fragmented_film_whose_end_is_not_certain_is_cut() -> None:
    intake = Intake([FRAGMENTED], is_end_certain=lambda: False)

    with pytest.raises(DownloadError) as caught:
        intake.drain()

    assert caught.value.reason == "truncated"


def test_how_a_body_ended_is_asked_when_it_has_ended() -> None:
    has_ended = False

    def chunks() -> Iterator[bytes]:
        nonlocal has_ended
        yield FRAGMENTED
        has_ended = True

    assert Intake(chunks(), is_end_certain=lambda: has_ended).drain().facts.seconds == 3.0


def test_a_declared_length_that_came_true_is_a_certain_end() -> None:
    intake = Intake([FRAGMENTED], len(FRAGMENTED), is_end_certain=lambda: False)

    assert intake.drain().facts.seconds == 3.0


def test_a_film_with_a_table_of_its_samples_needs_no_certain_end() -> None:
    assert Intake([CLIP], is_end_certain=lambda: False).drain().facts.seconds == 3.0
