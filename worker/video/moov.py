"""The `moov` box of a film: its tracks, and which of them is the video.

Only what decides whether the film is whole, and the facts of its video, are
read. Section numbers are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.boxes import Boxes, is_long, rows, unpack
from worker.video.tables import SampleTables

MOST_TRACKS = 64
UNKNOWN_DURATIONS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
VIDEO, SOUND = b"vide", b"soun"
NO_MEDIA = -1
"""The media time of an edit that shows nothing [8.6.6]."""


@dataclass(frozen=True)
class Picture:
    """How a video track looks: codec, and pixels across and down as shown."""

    codec: str
    width: int
    height: int
    is_readable: bool


class Track:
    """One `trak` box of video or sound. Durations are in units of 1/timescale seconds."""

    def __init__(self, trak: Boxes, mdia: Boxes, handler: bytes) -> None:
        self._tkhd = trak.needed(b"tkhd")
        (self.id,) = unpack(">I", self._tkhd, 20 if is_long(self._tkhd) else 12)
        self.handler = handler
        self.timescale, self.duration = times(mdia.needed(b"mdhd"))
        minf = mdia.inside(b"minf")
        _check_references(minf)
        self._stbl = minf.inside(b"stbl")
        self.tables = SampleTables(self._stbl, is_sound=handler == SOUND)
        elst = Boxes(found, trak.budget).only(b"elst") if (found := trak.only(b"edts")) is not None else None
        self.edited_duration = _shown(elst, trak.budget) if elst is not None else 0
        """How much of the film's time its edit list shows [8.6.6], in the film's units; 0 where it does not tell."""

    def picture(self) -> Picture:
        """Read codec and size by the first sample entry, or by the track's header [8.3.2, 12.1.3]."""
        stsd = self._stbl.needed(b"stsd")
        if not self.tables.entries:
            raise NotAVideoError("corrupt", "the video's samples are not described")
        code, width, height = unpack(">4x4s24xHH", stsd, 8)
        matrix_at = 52 if is_long(self._tkhd) else 40
        if not (width and height):
            width, height = unpack(">H2xH", self._tkhd, matrix_at + 36)
        if not (width and height):
            raise NotAVideoError("corrupt", "the video's pictures have no size")
        if is_turned(self._tkhd, matrix_at):
            width, height = height, width
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in cast("bytes", code))
        return Picture(text.rstrip(), width, height, is_readable="?" not in text and bool(text.strip()))


class Movie:
    """The body of a `moov` box. `seconds` is the film's length by its header, 0.0 where it does not tell."""

    def __init__(self, body: memoryview, budget: Budget) -> None:
        moov = Boxes(body, budget)
        if moov.only(b"cmov") is not None:
            raise NotAVideoError("unchecked", "the film's description is compressed")
        mvhd = moov.needed(b"mvhd")
        self.timescale, duration = times(mvhd)
        self.seconds = duration / self.timescale if self.timescale else 0.0
        self.is_turned = is_turned(mvhd, 48 if is_long(mvhd) else 36)
        if len(moov.all(b"trak")) > MOST_TRACKS:
            raise NotAVideoError("unchecked", f"there are more than {MOST_TRACKS} tracks")
        self.tracks: list[Track] = []
        self.other_ids: set[int] = set()
        for body in moov.all(b"trak"):
            self._read_track(Boxes(body, budget))
        mvex = moov.only(b"mvex")
        self.extension = Boxes(mvex, budget) if mvex is not None else None
        """What announces fragments [8.8.1]."""

    def _read_track(self, trak: Boxes) -> None:
        """Take the track of video or sound; of any other, the id alone."""
        mdia = trak.inside(b"mdia")
        (handler,) = unpack(">4s", mdia.needed(b"hdlr"), 8)
        if handler in (VIDEO, SOUND):
            self.tracks.append(Track(trak, mdia, handler))
        elif (tkhd := trak.only(b"tkhd")) is not None:
            self.other_ids.update(unpack(">I", tkhd, 20 if is_long(tkhd) else 12))


def times(header: memoryview) -> tuple[int, int]:
    """Timescale and duration of a `mvhd` or `mdhd` box [8.2.2, 8.4.2]; an unknown duration is 0."""
    timescale, duration = unpack(">IQ", header, 20) if is_long(header) else unpack(">II", header, 12)
    return timescale, 0 if duration in UNKNOWN_DURATIONS else duration


def is_turned(header: memoryview, matrix_at: int) -> bool:
    """Whether the transformation matrix [8.2.2] shows the pictures turned by a quarter."""
    if len(header) < matrix_at + 36:
        return False
    a, b, c, d = unpack(">ii4xii", header, matrix_at)
    return bool(abs(b) > abs(a) and abs(c) > abs(d))


def _check_references(minf: Boxes) -> None:
    """Raise unless the list of the files that hold the media [8.7.2] has as many entries as it says."""
    dinf = minf.only(b"dinf")
    dref = Boxes(dinf, minf.budget).only(b"dref") if dinf is not None else None
    if dref is not None and unpack(">I", dref, 4) != (len(Boxes(dref[8:], minf.budget)),):
        raise NotAVideoError("corrupt", "a list of the files that hold the film contradicts itself")


def _shown(elst: memoryview, budget: Budget) -> int:
    """The sum of an edit list's segments that show media."""
    (count,) = unpack(">I", elst, 4)
    form = ">Qq4x" if is_long(elst) else ">Ii4x"
    return sum(length for length, media_time in rows(form, elst, 8, count, budget) if media_time != NO_MEDIA)
