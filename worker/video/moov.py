"""Reading what describes a film: the `moov` and `moof` boxes of an MP4.

Only what decides whether the film is whole is read: the tracks, their samples'
number, sizes and places, and how long the video lasts. Section numbers are
those of ISO/IEC 14496-12. Every read is checked against the box it is in; what
does not fit is `NotAVideoError("corrupt")`. Tables are read as they lie, never
unfolded: a few hostile bytes can announce billions of samples.
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.errors import NotAVideoError

MOST_TRACKS = 64
MOST_CHILDREN = 10_000  # of one box
UNKNOWN_DURATIONS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
CHECKED = (b"vide", b"soun")
"""Handlers whose samples must lie in the media data; others may refer elsewhere."""

TFHD_OPTIONAL = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4))
"""Flag and size of the fields before and up to a fragment's default sample size [8.8.7]."""
TFHD_DURATION, TFHD_SIZE = 0x8, 0x10

TRUN_OPTIONAL = ((0x1, 4), (0x4, 4))
TRUN_DURATION, TRUN_SIZE = 0x100, 0x200
TRUN_COLUMNS = (TRUN_DURATION, TRUN_SIZE, 0x400, 0x800)
"""Flags of the fields before the samples, and of each sample's fields [8.8.8]."""


class MediaData:
    """The ranges of the file that hold media data, in the order they came."""

    def __init__(self) -> None:
        self.bytes = 0
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        self.bytes += end - start
        self._starts.append(start)
        self._ends.append(end)

    def holds(self, start: int, end: int) -> bool:
        """Whether one range holds all bytes from *start* up to *end*."""
        index = bisect.bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._ends[index]


class SampleSizes:
    """The sizes of a track's samples, taken in order [8.7.3]."""

    def __init__(self, stbl: memoryview) -> None:
        self.left = 0
        self._each = 0
        self._sizes: Iterator[int] = iter(())
        if (stsz := _child(stbl, b"stsz")) is not None:
            self._each, self.left = _unpack(">II", stsz, 4)
            if not self._each:
                self._sizes = (size for (size,) in _rows(">I", stsz, 12, self.left))
        elif (stz2 := _child(stbl, b"stz2")) is not None:
            bits, self.left = _unpack(">3xBI", stz2, 4)
            self._sizes = _packed(bits, stz2, self.left)

    def take(self, count: int) -> int:
        """The bytes of the next *count* samples, or of those that are left."""
        count = min(count, self.left)
        self.left -= count
        return count * self._each or sum(itertools.islice(self._sizes, count))


@dataclass(frozen=True)
class Track:
    """One `trak` box. Durations are in units of 1/timescale seconds."""

    id: int
    handler: bytes
    timescale: int
    duration: int
    stbl: memoryview

    @classmethod
    def read(cls, trak: memoryview) -> Track:
        tkhd, mdia = _needed(trak, b"tkhd"), _needed(trak, b"mdia")
        (track_id,) = _unpack(">I", tkhd, 20 if _is_long(tkhd) else 12)
        (handler,) = _unpack(">4s", _needed(mdia, b"hdlr"), 8)
        timescale, duration = _times(_needed(mdia, b"mdhd"))
        stbl = _needed(_needed(mdia, b"minf"), b"stbl")
        return cls(track_id, handler, timescale, duration, stbl)

    def picture(self) -> tuple[str, int, int]:
        """Codec, width and height by the first sample entry; only for video [12.1.3]."""
        stsd = _needed(self.stbl, b"stsd")
        code, width, height = _unpack(">4x4s24xHH", stsd, 8)
        if not all(0x20 < byte < 0x7F for byte in code):
            raise NotAVideoError("corrupt", "the video's codec has no readable name")
        return code.decode("ascii"), width, height

    def described_duration(self) -> int:
        """How long the samples last that are not in fragments [8.6.1.2]."""
        table = _needed(self.stbl, b"stts")
        (count,) = _unpack(">I", table, 4)
        return sum(samples * each for samples, each in _rows(">II", table, 8, count))

    def check(self, media: MediaData) -> int:
        """The number of samples; raises unless each lies in the *media* data."""
        sizes = SampleSizes(self.stbl)
        count = sizes.left
        for start, samples in zip(self._chunk_offsets(), self._samples_per_chunk(), strict=False):
            if not media.holds(start, start + sizes.take(samples)):
                raise NotAVideoError("truncated", "some of the film's samples lie outside its media data")
        if sizes.left:
            raise NotAVideoError("corrupt", "some of the film's samples have no place in the file")
        return count

    def _chunk_offsets(self) -> Iterator[int]:
        """Where each run of samples begins in the file [8.7.5]."""
        for kind, number in ((b"stco", ">I"), (b"co64", ">Q")):
            if (table := _child(self.stbl, kind)) is not None:
                (count,) = _unpack(">I", table, 4)
                return (offset for (offset,) in _rows(number, table, 8, count))
        return iter(())

    def _samples_per_chunk(self) -> Iterator[int]:
        """How many samples each run has; the last number holds for all further runs [8.7.4]."""
        first, samples = 0, 0
        table = _child(self.stbl, b"stsc")
        if table is not None:
            (count,) = _unpack(">I", table, 4)
            for following, per_chunk, _ in _rows(">III", table, 8, count):
                yield from itertools.repeat(samples, following - first if first else 0)
                first, samples = following, per_chunk
        yield from itertools.repeat(samples)


@dataclass(frozen=True)
class Fragment:
    """What `moof` boxes add to the video track."""

    samples: int = 0
    bytes: int = 0
    duration: int = 0

    def __add__(self, other: Fragment) -> Fragment:
        return Fragment(self.samples + other.samples, self.bytes + other.bytes, self.duration + other.duration)


class Movie:
    """The body of a `moov` box."""

    def __init__(self, moov: memoryview) -> None:
        timescale, duration = _times(_needed(moov, b"mvhd"))
        self.seconds = duration / timescale if timescale else 0.0
        traks = list(itertools.islice(_children(moov, b"trak"), MOST_TRACKS + 1))
        if len(traks) > MOST_TRACKS:
            raise NotAVideoError("corrupt", f"there are more than {MOST_TRACKS} tracks")
        self.tracks = [Track.read(trak) for trak in traks]
        self.video = next((track for track in self.tracks if track.handler == b"vide"), None)
        self._mvex = _child(moov, b"mvex")

    def check(self, media: MediaData, fragments: Fragment) -> tuple[float, str, int, int]:
        """Seconds, codec, width and height; raises `NotAVideoError` unless the film is whole."""
        if self.video is None:
            raise NotAVideoError("no_video", "there is no video track")
        codec, width, height = self.video.picture()
        samples = {track.id: track.check(media) for track in self.tracks if track.handler in CHECKED}
        if not (samples[self.video.id] or fragments.samples) or not media.bytes or not (width and height):
            raise NotAVideoError("no_video", "the video track has no pictures")
        if fragments.bytes > media.bytes:
            raise NotAVideoError("truncated", "the film's samples are more than its media data")
        duration = self.video.duration
        if fragments.samples:
            duration = self.video.described_duration() + fragments.duration
        seconds = duration / self.video.timescale if duration and self.video.timescale else self.seconds
        return seconds, codec, width, height

    def read_fragment(self, moof: memoryview) -> Fragment:
        """What the body of a `moof` box adds to the video track."""
        return sum((self._runs(traf) for traf in _children(moof, b"traf")), Fragment())

    def _runs(self, traf: memoryview) -> Fragment:
        tfhd = _needed(traf, b"tfhd")
        flags, track_id = _unpack(">II", tfhd, 0)
        if self.video is None or track_id != self.video.id:
            return Fragment()
        duration, size = self._defaults(track_id)
        at = 8
        for flag, length in TFHD_OPTIONAL:
            if flags & flag == TFHD_DURATION:
                (duration,) = _unpack(">I", tfhd, at)
            elif flags & flag == TFHD_SIZE:
                (size,) = _unpack(">I", tfhd, at)
            at += length if flags & flag else 0
        return sum((_run(trun, duration, size) for trun in _children(traf, b"trun")), Fragment())

    def _defaults(self, track_id: int) -> tuple[int, int]:
        """Duration and size of the track's samples where a fragment does not tell [8.8.3]."""
        for trex in _children(self._mvex or memoryview(b""), b"trex"):
            of, duration, size = _unpack(">4xI4xII", trex, 0)
            if of == track_id:
                return duration, size
        return 0, 0


def _run(trun: memoryview, duration: int, size: int) -> Fragment:
    """One run of samples; *duration* and *size* are the defaults of each."""
    flags, count = _unpack(">II", trun, 0)
    at = 8 + sum(length for flag, length in TRUN_OPTIONAL if flags & flag)
    columns = [flag for flag in TRUN_COLUMNS if flags & flag]
    totals = {TRUN_DURATION: duration * count, TRUN_SIZE: size * count}
    for index, column in enumerate(columns):
        if column in totals:
            totals[column] = sum(row[index] for row in _rows(f">{len(columns)}I", trun, at, count))
    return Fragment(count, totals[TRUN_SIZE], totals[TRUN_DURATION])


def _times(header: memoryview) -> tuple[int, int]:
    """Timescale and duration of a `mvhd` or `mdhd` box [8.2.2, 8.4.2]; an unknown duration is 0."""
    timescale, duration = _unpack(">IQ", header, 20) if _is_long(header) else _unpack(">II", header, 12)
    return timescale, 0 if duration in UNKNOWN_DURATIONS else duration


def _is_long(full_box: memoryview) -> bool:
    """Whether its times take 64 bits."""
    (version,) = _unpack(">B", full_box, 0)
    return bool(version == 1)


def _packed(bits: int, table: memoryview, count: int) -> Iterator[int]:
    """The sizes in a compact table, of 4, 8 or 16 bits each."""
    if bits == 4:
        octets = _rows(">B", table, 12, (count + 1) // 2)
        return (size for (octet,) in octets for size in (octet >> 4, octet & 15))
    if bits not in (8, 16):
        raise NotAVideoError("corrupt", "a table of sample sizes has an unknown form")
    return (size for (size,) in _rows(">B" if bits == 8 else ">H", table, 12, count))


def _boxes(parent: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and body of each box in *parent*."""
    at = 0
    for _ in range(MOST_CHILDREN):
        if len(parent) - at < 8:
            break
        size, kind = _unpack(">I4s", parent, at)
        header = 8
        if size == 1:
            (size,), header = _unpack(">Q", parent, at + 8), 16
        elif size == 0:
            size = len(parent) - at
        if not header <= size <= len(parent) - at:
            raise NotAVideoError("corrupt", "a box does not fit in the one around it")
        yield kind, parent[at + header : at + size]
        at += size
    if len(parent) - at >= 8 or any(parent[at:]):  # QuickTime ends some lists with zeros
        raise NotAVideoError("corrupt", "a box holds more boxes than a film needs, or half of one")


def _children(parent: memoryview, kind: bytes) -> Iterator[memoryview]:
    return (body for found, body in _boxes(parent) if found == kind)


def _child(parent: memoryview, kind: bytes) -> memoryview | None:
    return next(_children(parent, kind), None)


def _needed(parent: memoryview, kind: bytes) -> memoryview:
    found = _child(parent, kind)
    if found is None:
        raise NotAVideoError("corrupt", f"the film's description lacks its {kind.decode()} box")
    return found


def _unpack(form: str, data: memoryview, offset: int) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(form, data, offset)
    except struct.error as err:
        raise NotAVideoError("corrupt", "a box is shorter than its content") from err


def _rows(form: str, table: memoryview, offset: int, count: int) -> Iterator[tuple[Any, ...]]:
    """*count* rows of a table that starts at *offset*."""
    end = offset + struct.calcsize(form) * count
    if end > len(table):
        raise NotAVideoError("corrupt", "a table is shorter than it says")
    return struct.iter_unpack(form, table[offset:end])
