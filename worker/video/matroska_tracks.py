"""A Matroska film's own account: its length and its tracks, and the sums of each track's blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.ebml import children, read_number, real, unsigned

NANOSECONDS = 1e9
MOST_TRACKS = 64

TIMESTAMP_SCALE, DURATION = 0x2AD7B1, 0x4489
TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, CODEC_ID, DEFAULT_DURATION = 0xAE, 0xD7, 0x83, 0x86, 0x23E383
VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT, PROJECTION, POSE_ROLL = 0xE0, 0xB0, 0xBA, 0x7670, 0x7675
VIDEO_TYPE = 1


@dataclass
class Info:
    """The Segment's Info: nanoseconds in a unit of time, and how many units the film lasts, 0.0 if not told."""

    scale: int = 1_000_000
    units: float = 0.0

    @property
    def seconds(self) -> float:
        """The film's stated duration; 0.0 where it states none."""
        told = self.units * self.scale / NANOSECONDS
        return told if math.isfinite(told) and told > 0 else 0.0

    @classmethod
    def read(cls, body: memoryview, budget: Budget) -> Info:
        """Read the body of an Info element [RFC 9559 5.1.2]."""
        info = cls()
        for element, value in children(body, budget):
            if element == TIMESTAMP_SCALE:
                info.scale = unsigned(value)
            elif element == DURATION:
                info.units = real(value)
        return info


@dataclass
class Track:
    """One entry of the Segment's Tracks; pixels as shown."""

    number: int = 0
    is_video: bool = False
    codec: str = ""
    width: int = 0
    height: int = 0
    frame_seconds: float = 0.0


def read_tracks(body: memoryview, budget: Budget) -> Iterator[Track]:
    """Each entry of a Tracks element [RFC 9559 5.1.4]."""
    for element, entry in children(body, budget):
        if element != TRACK_ENTRY:
            continue
        track = Track()
        for inner, value in children(entry, budget):
            if inner == TRACK_NUMBER:
                track.number = unsigned(value)
            elif inner == TRACK_TYPE:
                track.is_video = unsigned(value) == VIDEO_TYPE
            elif inner == CODEC_ID:
                track.codec = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in value[:40])
            elif inner == DEFAULT_DURATION:
                track.frame_seconds = unsigned(value) / NANOSECONDS
            elif inner == VIDEO:
                _read_picture(value, track, budget)
        yield track


def _read_picture(body: memoryview, track: Track, budget: Budget) -> None:
    """Take the size of a track's pictures, turned as its projection says."""
    roll = 0.0
    for element, value in children(body, budget):
        if element == PIXEL_WIDTH:
            track.width = unsigned(value)
        elif element == PIXEL_HEIGHT:
            track.height = unsigned(value)
        elif element == PROJECTION:
            roll = next((real(inner) for found, inner in children(value, budget) if found == POSE_ROLL), 0.0)
    if math.isfinite(roll) and round(roll / 90) % 2:
        track.width, track.height = track.height, track.width


@dataclass
class Blocks:
    """The blocks of one track; instants in units of time."""

    count: int = 0
    bytes: int = 0
    first_at: int = 0
    last_at: int = 0
    ends_at: int = 0

    def end_seconds(self, track: Track, scale: int) -> float:
        """When the last picture ends; where nothing tells how long it lasts, it lasts as the others do."""
        unit, frame = scale / NANOSECONDS, track.frame_seconds
        if not frame and self.count > 1:
            frame = (self.last_at - self.first_at) / (self.count - 1) * unit
        return max(self.ends_at * unit, self.last_at * unit + frame)


class BlocksByTrack:
    """All blocks that came, counted by the number of their track."""

    def __init__(self) -> None:
        self._found: dict[int, Blocks] = {}
        self._last = Blocks(), 0

    def __getitem__(self, number: int) -> Blocks:
        return self._found.get(number, Blocks())

    def numbers(self) -> set[int]:
        """The tracks that have blocks."""
        return set(self._found)

    def add(self, head: bytes | bytearray, size: int, cluster_at: int) -> None:
        """Count a block of *size* bytes that begins with *head* [RFC 9559 10], in a cluster of this instant."""
        try:
            number, length = read_number(head)
        except ValueError:
            number, length = 0, len(head)
        if len(head) < length + 3:
            raise NotAVideoError("corrupt", "a block is shorter than its head")
        at = cluster_at + int.from_bytes(head[length : length + 2], "big", signed=True)
        blocks = self._found.get(number)
        if blocks is None:
            if len(self._found) == MOST_TRACKS:
                raise NotAVideoError("unchecked", f"there are more than {MOST_TRACKS} tracks")
            blocks = self._found[number] = Blocks(first_at=at, last_at=at, ends_at=at)
        blocks.count += 1
        blocks.bytes += size - length - 3
        blocks.first_at = min(blocks.first_at, at)
        blocks.last_at = max(blocks.last_at, at)
        self._last = blocks, at

    def set_duration(self, duration: int) -> None:
        """Take how long the last block lasts."""
        blocks, at = self._last
        blocks.ends_at = max(blocks.ends_at, at + duration)
