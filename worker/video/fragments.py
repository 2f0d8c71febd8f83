"""The fragments of a film (`moof` boxes) and its indexes of them (`sidx`, `mfra`, `mehd`) [8.8, 8.16].

A fragmented film has no table of all its samples: cut between two fragments it
looks whole. Only an index tells how long it should be.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.boxes import UINT32, UINT64, Boxes, is_long, numbers, rows, rows_there, unpack
from worker.video.moov import Movie
from worker.video.tables import MediaData

TFHD_BASE, TFHD_ENTRY, TFHD_DURATION, TFHD_SIZE, TFHD_BASE_IS_MOOF = 0x1, 0x2, 0x8, 0x10, 0x20000
TFHD_OPTIONAL = ((TFHD_BASE, ">Q"), (TFHD_ENTRY, ">I"), (TFHD_DURATION, ">I"), (TFHD_SIZE, ">I"))
"""Flag and form of a fragment's optional fields up to the default sample size [8.8.7]."""

TRUN_OFFSET, TRUN_FIRST_FLAGS, TRUN_DURATION, TRUN_SIZE = 0x1, 0x4, 0x100, 0x200
TRUN_COLUMNS = (TRUN_DURATION, TRUN_SIZE, 0x400, 0x800)
"""Flags of each sample's fields in a run [8.8.8]."""

SIDX_ROW, TFRA_AT, MEHD_AT = 12, 16, 4
"""Bytes of a row of `sidx`; where the rows of `tfra`, and the length in `mehd`, begin [8.16.3, 8.8.10, 8.8.2]."""

SLACK_SECONDS = 0.1
"""Indexes are rounded, and sound and pictures do not end at the same instant."""


@dataclass
class Added:
    """Samples that fragments add to a track; the duration in its timescale. Only video and sound are checked."""

    is_checked: bool = False
    samples: int = 0
    bytes: int = 0
    duration: int = 0


class Fragments:
    """All `moof` boxes of a film and its indexes of them, in file order."""

    def __init__(self, budget: Budget) -> None:
        self.count = 0
        self._budget = budget
        self._added: dict[int, Added] = {}
        self._defaults: dict[int, dict[int, int]] = {}
        self._entries: dict[int, int] = {}
        self._run_starts, self._run_lengths = array("q"), array(UINT64)
        self._places: set[int] = set()
        self._last_at = 0
        self._covered_to = 0
        self._is_indexed_ahead = False
        self._indexed: set[int] | None = None

    def announce(self, movie: Movie) -> None:
        """Take the defaults of each track's samples from the `moov` box [8.8.3]."""
        trex = movie.extension.all(b"trex") if movie.extension else []
        for track, entry, duration, size in (unpack(">4xIIII", body, 0) for body in trex):
            self._defaults[track] = {TFHD_ENTRY: entry, TFHD_DURATION: duration, TFHD_SIZE: size}
        self._entries = {track.id: track.tables.entries for track in movie.tracks}
        self._added = {track: Added() for track in movie.other_ids}
        self._added.update({track.id: Added(is_checked=True) for track in movie.tracks})

    def of(self, track_id: int) -> Added:
        """The samples that the fragments add to a track."""
        return self._added.get(track_id, Added())

    def add(self, body: memoryview, moof_at: int) -> None:
        """Take a `moof` box whose header begins at *moof_at*."""
        self.count += 1
        self._places.add(moof_at)
        self._last_at = moof_at
        place = moof_at
        for traf in Boxes(body, self._budget).all(b"traf"):
            place = self._add_track(Boxes(traf, self._budget), moof_at, place)

    def _add_track(self, traf: Boxes, moof_at: int, place: int) -> int:
        """Take the runs of one track; *place* is where the runs of the one before ended, as is what it returns."""
        tfhd = traf.needed(b"tfhd")
        flags, track_id = unpack(">II", tfhd, 0)
        added, defaults = self._added.get(track_id), self._defaults.get(track_id)
        if added is None or defaults is None:
            raise NotAVideoError("corrupt", "a fragment belongs to no track of the film")
        told = {**defaults, TFHD_BASE: moof_at if flags & TFHD_BASE_IS_MOOF else place}
        at = 8
        for flag, form in TFHD_OPTIONAL:
            if flags & flag:
                (told[flag],) = unpack(form, tfhd, at)
                at += struct.calcsize(form)
        if not 1 <= told[TFHD_ENTRY] <= self._entries.get(track_id, told[TFHD_ENTRY]):
            raise NotAVideoError("corrupt", "a fragment's samples are not described")
        place = told[TFHD_BASE]
        for trun in traf.all(b"trun"):
            place = self._add_run(trun, added, told, place)
        return place

    def _add_run(self, trun: memoryview, added: Added, told: dict[int, int], place: int) -> int:
        """Take one run of samples; *told* has the defaults of each. Returns where the run ends."""
        flags, count = unpack(">II", trun, 0)
        at = 8
        if flags & TRUN_OFFSET:
            (offset,) = unpack(">i", trun, at)
            place, at = told[TFHD_BASE] + offset, at + 4
        at += 4 if flags & TRUN_FIRST_FLAGS else 0
        columns = [flag for flag in TRUN_COLUMNS if flags & flag]
        fields = numbers(UINT32, trun, at, count * len(columns), self._budget)
        totals: dict[int, int] = {TRUN_DURATION: told[TFHD_DURATION] * count, TRUN_SIZE: told[TFHD_SIZE] * count}
        for index, column in enumerate(columns):
            if column in totals:
                totals[column] = sum(fields[index :: len(columns)])
        length = totals[TRUN_SIZE]
        if not 0 <= place <= place + length < 1 << 63:
            raise NotAVideoError("corrupt", "a fragment's samples lie outside the file")
        if count and not length and added.is_checked:
            raise NotAVideoError("corrupt", "a fragment's samples have no size")
        if length:
            self._run_starts.append(place)
            self._run_lengths.append(length)
        added.samples += count
        added.bytes += length
        added.duration += totals[TRUN_DURATION]
        return place + length

    def take_sidx(self, body: memoryview, ends_at: int) -> None:
        """Take a segment index that *ends_at* this place [8.16.3]."""
        form, rows_at = (">QQ2xH", 32) if is_long(body) else (">II2xH", 24)
        _, first_offset, count = unpack(form, body, 12)
        count = rows_there("sidx", body, rows_at, SIDX_ROW, count, self._budget)
        references = rows(">I8x", body, rows_at, count, self._budget)
        covered = ends_at + first_offset + sum(size & 0x7FFFFFFF for (size,) in references)
        self._covered_to = max(self._covered_to, covered)
        if self.count == 0 and count > 1:
            self._is_indexed_ahead = True

    def take_mfra(self, body: memoryview) -> None:
        """Take the random access index that ends a file [8.8.9]."""
        self._indexed = self._indexed or set()
        for tfra in Boxes(body, self._budget).all(b"tfra"):
            if len(tfra) < TFRA_AT:
                self._budget.notes.append("the film's index of fragments is shorter than it says")
                continue
            widths, count = unpack(">II", tfra, 8)
            rest = sum((widths >> shift & 3) + 1 for shift in (0, 2, 4))
            form = f">8xQ{rest}x" if is_long(tfra) else f">4xI{rest}x"
            count = rows_there("tfra", tfra, TFRA_AT, struct.calcsize(form), count, self._budget)
            self._indexed.update(place for (place,) in rows(form, tfra, TFRA_AT, count, self._budget))

    def check(self, movie: Movie, media: MediaData, file_bytes: int) -> None:
        """Raise unless each run lies in the *media* data and the film is as long as its own indexes say."""
        if not media.holds(self._run_starts, self._run_lengths):
            raise NotAVideoError("truncated", "some of the fragments' samples lie outside the film's media data")
        if self._covered_to > file_bytes:
            raise NotAVideoError("truncated", f"the film's index covers {self._covered_to} bytes, {file_bytes} came")
        self._check_index(self._indexed or set())
        told, came = self._told_seconds(movie), self._seconds(movie)
        if told and came + SLACK_SECONDS < told:
            raise NotAVideoError("truncated", f"the film's index tells {told:.1f} s, {came:.1f} s came")

    def _check_index(self, indexed: set[int]) -> None:
        """Raise where the last index names all fragments that came, and more behind them; note one that is stale."""
        if len(indexed) > self.count and self._places <= indexed and max(indexed) > self._last_at:
            raise NotAVideoError("truncated", f"the film's index names {len(indexed)} fragments, {self.count} came")
        if not indexed <= self._places:
            self._budget.notes.append("the film's index names fragments where there are none")

    def is_proven_whole(self, movie: Movie) -> bool:
        """Whether an index, checked before, shows that no fragment can be missing at the end."""
        told = self._told_seconds(movie)
        is_told = told > 0 and self._seconds(movie) + SLACK_SECONDS >= told
        return self._indexed is not None or is_told or (self._is_indexed_ahead and self._last_at < self._covered_to)

    def _told_seconds(self, movie: Movie) -> float:
        """The length of the whole film, fragments included [8.8.2]; 0.0 where it is not told."""
        mehd = movie.extension.only(b"mehd") if movie.extension else None
        if mehd is None or not movie.timescale:
            return 0.0
        form = ">Q" if is_long(mehd) else ">I"
        if len(mehd) < MEHD_AT + struct.calcsize(form):
            self._budget.notes.append("the film's length with its fragments is cut short")
            return 0.0
        (duration,) = unpack(form, mehd, MEHD_AT)
        return float(duration / movie.timescale)

    def _seconds(self, movie: Movie) -> float:
        """The duration of the longest track."""
        lengths = (
            (track.tables.duration + self.of(track.id).duration) / track.timescale
            for track in movie.tracks
            if track.timescale
        )
        return max(lengths, default=0.0)
