"""Videos that are not as asked."""

from __future__ import annotations

from typing import Any

import pytest

from worker.jobs.differences import differences
from worker.jobs.job import Video
from worker.jobs.spec import JobSpec


def differing(seconds: float = 5.0, width: int = 1280, height: int = 720, **asked: Any) -> list[str]:
    video = Video("s3://bucket/key", 1000, "ab" * 32, seconds, width, height)
    return [found.field for found in differences(JobSpec(model="kling-3.0-turbo", **asked), [video])]


@pytest.mark.parametrize("made", [5.0, 5.04, 4.6, 6.0])
def test_a_length_within_a_second_is_as_asked(made: float) -> None:
    assert differing(made, duration=5) == []


@pytest.mark.parametrize(("asked", "made"), [(5, 3.9), (5, 6.1), (5, 4.4), (3, 2.6), (15, 10.0)])
def test_a_length_off_by_more_than_a_second_or_a_tenth_shorter_differs(asked: int, made: float) -> None:
    assert differing(made, duration=asked) == ["seconds"]


def test_the_length_of_shots_is_what_they_add_up_to() -> None:
    shots = [{"seconds": 2, "prompt": "a"}, {"seconds": 8, "prompt": "b"}]

    assert differing(5.0, shots=shots) == ["seconds"]


@pytest.mark.parametrize(
    ("asked", "width", "height"),
    [
        *(("720p", 1280, 720), ("720p", 720, 1280), ("720p", 720, 720), ("720p", 960, 960), ("720p", 1104, 832)),
        *(("1080p", 1920, 1080), ("1080P", 1920, 1088), ("1080p", 1440, 1440), ("4k", 3840, 2160), ("adaptive", 8, 8)),
    ],
)
def test_a_resolution_is_its_short_side_or_as_many_pixels(asked: str, width: int, height: int) -> None:
    assert differing(width=width, height=height, resolution=asked) == []


@pytest.mark.parametrize(
    ("asked", "width", "height"), [("1080p", 1280, 720), ("720p", 1920, 1080), ("4K", 1920, 1080), ("720p", 640, 360)]
)
def test_another_resolution_differs(asked: str, width: int, height: int) -> None:
    assert differing(width=width, height=height, resolution=asked) == ["resolution"]


@pytest.mark.parametrize(
    ("asked", "width", "height"),
    [("16:9", 1280, 720), ("16:9", 1284, 716), ("9:16", 720, 1280), ("1:1", 960, 960), ("auto", 9, 5), ("0:0", 9, 5)],
)
def test_a_ratio_may_be_rounded(asked: str, width: int, height: int) -> None:
    assert differing(width=width, height=height, aspect_ratio=asked) == []


@pytest.mark.parametrize(("asked", "width", "height"), [("16:9", 720, 1280), ("1:1", 1280, 720), ("4:3", 1280, 720)])
def test_another_ratio_differs(asked: str, width: int, height: int) -> None:
    assert differing(width=width, height=height, aspect_ratio=asked) == ["aspect_ratio"]


def test_what_was_not_asked_for_cannot_differ() -> None:
    assert differing(99.0, 10, 999) == []


def test_the_same_difference_of_two_videos_is_told_once() -> None:
    video = Video("s3://bucket/key", 1000, "ab" * 32, 3.0, 1280, 720)

    assert len(differences(JobSpec(model="kling-3.0-turbo", duration=5), [video, video])) == 1
