"""Differences between an archived video and its order: length, resolution, aspect ratio."""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.jobs.job import Difference, Video
from worker.jobs.spec import JobSpec

MOST_SECONDS_OFF = 1.0
MOST_SHORTER = 0.1
"""A video may be a second longer or shorter than asked, but never shorter by more than this part of it."""

SHORT_SIDE = re.compile(r"(\d{3,4})p", re.IGNORECASE)
NAMED_SIDES = {"2k": 1440, "4k": 2160, "8k": 4320}
RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")
SIDE_TOLERANCE, AREA_TOLERANCE, RATIO_TOLERANCE = 0.05, 0.1, 0.03
"""Encoders round sides to multiples of 8 or 16; models of 720p make a square as 720x720 or as 960x960."""


def differences(spec: JobSpec, videos: Iterable[Video]) -> tuple[Difference, ...]:
    """List the differences of *videos* from *spec*; each once. A field that was not asked for cannot differ."""
    found = [difference for video in videos for difference in _of(spec, video)]
    return tuple(dict.fromkeys(found))


def _of(spec: JobSpec, video: Video) -> Iterable[Difference]:
    if spec.seconds is not None and not _is_as_long(spec.seconds, video.seconds):
        yield Difference("seconds", spec.seconds, video.seconds)
    size = f"{video.width}x{video.height}"
    if spec.resolution is not None and not _is_as_large(spec.resolution, video):
        yield Difference("resolution", spec.resolution, size)
    if spec.aspect_ratio is not None and not _has_ratio(spec.aspect_ratio, video):
        yield Difference("aspect_ratio", spec.aspect_ratio, size)


def _is_as_long(asked_seconds: float, made_seconds: float) -> bool:
    is_near = abs(made_seconds - asked_seconds) <= MOST_SECONDS_OFF
    return is_near and made_seconds >= (1 - MOST_SHORTER) * asked_seconds


def _is_as_large(asked: str, video: Video) -> bool:
    """Whether the short side, or the number of pixels of a 16:9 picture, is that of *asked*; a word unknown here
    cannot be judged."""
    named = SHORT_SIDE.fullmatch(asked)
    side = int(named[1]) if named else NAMED_SIDES.get(asked.lower())
    if side is None:
        return True
    area = side * side * 16 / 9
    is_near_side = abs(min(video.width, video.height) - side) <= SIDE_TOLERANCE * side
    return is_near_side or abs(video.width * video.height - area) <= AREA_TOLERANCE * area


def _has_ratio(asked: str, video: Video) -> bool:
    found = RATIO.fullmatch(asked)
    if found is None or not (width := int(found[1])) or not (height := int(found[2])):
        return True
    return abs(video.width * height - video.height * width) <= RATIO_TOLERANCE * video.height * width
