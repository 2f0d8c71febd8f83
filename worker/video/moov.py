"""The `moov` box of a film: its tracks, and which of them is the video.

Only what decides whether the film is whole, and the facts of its video, are
read. Section numbers are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.boxes import Boxes, is_long, rows, rows_there, unpack
from worker.video.tables import SampleTables

MOST_TRACKS = 64
UNKNOWN_DURATIONS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
VIDEO, SOUND = b"vide", b"soun"
CONFIGURATIONS = {b"avc1": b"avcC", b"hvc1": b"hvcC", b"hev1": b"hvcC", b"av01": b"av1C"}
"""The box that a sample entry of a codec holds, without which most decoders give up [14496-15]."""

EDITS_AT = 8
"""The place of the first edit in its list."""

NO_MEDIA = -1
"""The media time of an edit that shows nothing [8.6.6]."""


@dataclass(frozen=True)
class Picture:
    """A video track's look: codec, and pixels across and down as shown.

    It is odd where the sample entry lacks some of it.
    """

    codec: str
    width: int
    height: int
    is_odd: bool


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
        self._edits = list(_edits(elst, trak.budget)) if elst is not None else []

    def shown_duration(self) -> int:
        """The part of the film's time that the edit list shows [8.6.6], in the film's units; 0 where it does not tell.

        Raises where the list shows no part of the media.
        """
        lasts = max(self.duration, self.tables.duration)
        if self._edits and lasts and not any(NO_MEDIA < begin < lasts for _, begin in self._edits):
            raise NotAVideoError("corrupt", "the film's edit list shows nothing of it")
        return sum(length for length, begin in self._edits if begin != NO_MEDIA)

    def picture(self) -> Picture:
        """Read codec and size by the first sample entry, or by the track's header [8.3.2, 12.1.3]."""
        stsd = self._stbl.needed(b"stsd")
        if not self.tables.entries:
            raise NotAVideoError("corrupt", "the video's samples are not described")
        (code,) = unpack(">4s", stsd, 12)
        matrix_at = 52 if is_long(self._tkhd) else 40
        sizes = [unpack(">HH", stsd, 40)] if len(stsd) >= 44 else []
        sizes.append(unpack(">H2xH", self._tkhd, matrix_at + 36))
        width, height = next((size for size in sizes if all(size)), (0, 0))
        if not width:
            raise NotAVideoError("corrupt", "the video's pictures have no size")
        if is_turned(self._tkhd, matrix_at):
            width, height = height, width
        configuration = CONFIGURATIONS.get(code, b"")
        is_odd = len(sizes) == 1 or configuration not in bytes(stsd)
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in code).rstrip()
        return Picture(text, width, height, is_odd=is_odd or "?" in text or not text)


class Movie:
    """The body of a `moov` box. `seconds` is the film's length by its header, 0.0 where it does not tell."""

    def __init__(self, body: memoryview, budget: Budget) -> None:
        moov = Boxes(body, budget)
        if moov.only(b"cmov") is not None:
            raise NotAVideoError("unchecked", "the film's description is compressed")
        mvhd = moov.needed(b"mvhd")
        self.timescale, duration = 0, 0
        if bytes(mvhd[:1]) > b"\1":
            budget.notes.append("the film's header is of a version that there is not")
        else:
            self.timescale, duration = times(mvhd)
        self.seconds = duration / self.timescale if self.timescale else 0.0
        self.is_turned = is_turned(mvhd, 48 if is_long(mvhd) else 36)
        if len(moov.all(b"trak")) > MOST_TRACKS:
            raise NotAVideoError("unchecked", f"there are more than {MOST_TRACKS} tracks")
        self.tracks: list[Track] = []
        self.other_ids: set[int] = set()
        self._ids: set[int] = set()
        for body in moov.all(b"trak"):
            self._read_track(Boxes(body, budget))
        mvex = moov.only(b"mvex")
        self.extension = Boxes(mvex, budget) if mvex is not None else None
        """The announcement of fragments [8.8.1]."""

    def _read_track(self, trak: Boxes) -> None:
        """Take the track of video or sound; of any other, the id alone. One without media is noted."""
        found = trak.only(b"mdia")
        mdia = Boxes(found, trak.budget) if found is not None else None
        if mdia is None or not (mdia.all(b"hdlr") or mdia.all(b"minf")):
            trak.budget.notes.append("a track of the film has no media")
            return
        (handler,) = unpack(">4s", mdia.needed(b"hdlr"), 8)
        if handler in (VIDEO, SOUND):
            track = Track(trak, mdia, handler)
            self.tracks.append(track)
            self._take_id(track.id)
        elif (tkhd := trak.only(b"tkhd")) is not None:
            (track_id,) = unpack(">I", tkhd, 20 if is_long(tkhd) else 12)
            self.other_ids.add(track_id)
            self._take_id(track_id)

    def _take_id(self, track_id: int) -> None:
        """Raise where another track has that id: no fragment, reference or edit could tell them apart [8.3.2]."""
        if track_id in self._ids:
            raise NotAVideoError("corrupt", f"the film has two tracks of the id {track_id}")
        self._ids.add(track_id)


def times(header: memoryview) -> tuple[int, int]:
    """Timescale and duration of a `mvhd` or `mdhd` box [8.2.2, 8.4.2]; an unknown duration is 0."""
    if bytes(header[:1]) > b"\1":
        raise NotAVideoError("corrupt", "a header of the film is of a version that there is not")
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


def _edits(elst: memoryview, budget: Budget) -> Iterator[tuple[int, int]]:
    """The edits of a track: how long each lasts, and where in the media it begins [8.6.6]."""
    if len(elst) < EDITS_AT:
        budget.notes.append("the edit list of a track is cut short")
        return iter(())
    form = ">Qq4x" if is_long(elst) else ">Ii4x"
    (count,) = unpack(">I", elst, 4)
    count = rows_there("elst", elst, EDITS_AT, struct.calcsize(form), count, budget)
    return rows(form, elst, EDITS_AT, count, budget)
