"""Whatever bytes come, the walk ends with facts or with `NotAVideoError`, in bounded memory."""

from __future__ import annotations

import struct
import tracemalloc

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.sandbox.mp4 import make
from tests.unit.video.films import box, fragmented, full_box, moov_last
from worker.errors import NotAVideoError
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk
from worker.video.mp4 import MOST_KEPT_BYTES

CLIPS = (make(64, 48, 1), moov_last(make(64, 48, 1)), fragmented(64, 48, fragments=2, samples=3, timescale=24))
BOXES = (b"ftyp", b"moov", b"moof", b"mdat", b"trak", b"mdia", b"stbl", b"stsz", b"free")
MIB = 2**20


def judge(content: bytes, piece: int = MIB) -> VideoFacts | None:
    walk = FilmWalk()
    try:
        for at in range(0, len(content), piece):
            walk.feed(content[at : at + piece])
        return walk.finish()
    except NotAVideoError:
        return None


@given(st.binary(max_size=200))
@example(b"\0\0\0\1ftyp")
def test_bytes_by_chance_are_judged(content: bytes) -> None:
    assert judge(content) is None


@given(
    clip=st.sampled_from(CLIPS),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=8),
    piece=st.integers(1, 5000),
)
@settings(max_examples=400)
def test_a_damaged_film_is_judged(clip: bytes, changes: list[tuple[int, int]], piece: int) -> None:
    damaged = bytearray(clip)
    for at, value in changes:
        damaged[at % len(damaged)] = value

    assert judge(bytes(damaged), piece) == judge(bytes(damaged))


@given(
    st.recursive(
        st.builds(box, st.sampled_from(BOXES), st.binary(max_size=40)),
        lambda inner: st.builds(
            lambda kind, parts: box(kind, *parts), st.sampled_from(BOXES), st.lists(inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_boxes_in_any_order_are_judged(content: bytes) -> None:
    assert judge(box(b"ftyp", b"isom") + content) is None


@given(number=st.sampled_from([0, 1, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF]), where=st.integers(0, 700))
def test_extreme_numbers_anywhere_in_the_description_are_judged(number: int, where: int) -> None:
    damaged = bytearray(CLIPS[0])
    struct.pack_into(">I", damaged, 32 + where % 600, number)

    facts = judge(bytes(damaged))

    assert facts is None or (facts.width > 0 and facts.height > 0)


def test_the_largest_descriptions_cost_little_more_than_themselves() -> None:
    trak = box(b"trak")
    free = box(b"free")
    samples = (MOST_KEPT_BYTES - 4096) // 8
    tables = full_box(b"stsz", f">II{samples}I", 0, samples, *[1] * samples)
    hostile = [
        box(b"moov", full_box(b"mvhd", ">IIII", 0, 0, 1, 1), trak * ((MOST_KEPT_BYTES - 1000) // 8)),
        box(b"moov", full_box(b"mvhd", ">IIII", 0, 0, 1, 1), free * ((MOST_KEPT_BYTES - 1000) // 8)),
        box(b"moov", full_box(b"mvhd", ">IIII", 0, 0, 1, 1), tables),
    ]
    for moov in hostile:
        tracemalloc.start()
        judge(box(b"ftyp", b"isom") + moov)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        # the kept box, its growth, and the slice of the caller
        assert peak < 4 * MOST_KEPT_BYTES


def test_media_is_counted_not_kept() -> None:
    walk = FilmWalk()
    walk.feed(box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 1 << 40))
    chunk = bytes(MIB)

    tracemalloc.start()
    for _ in range(1000):
        walk.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000
