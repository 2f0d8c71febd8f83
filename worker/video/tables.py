"""The tables of one track's samples: how many there are, their sizes, and their places in the file [8.5 to 8.7].

Tables are read as they lie and compared by iterators, never unfolded and never
row by row for each row of another: a few hostile bytes can announce billions
of samples.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice, repeat, tee
from operator import add, le, lt, mul, sub

from worker.errors import NotAVideoError
from worker.video.boxes import UINT32, UINT64, Boxes, check_length, numbers, rows_there, unpack

BLOCK = 65_536
"""So many chunks are checked between two looks at the clock."""

SYNC_ROW, OFFSET_ROW, FULL_BOX = 4, 8, 4
"""Bytes of a row of `stss` and of `ctts` [8.6.2, 8.6.1.3], and of the head of a box that has a version."""

NO_SIZE = 1
"""QuickTime's tables give each sample of sound this size, whatever it takes."""


class MediaData:
    """The ranges of the file that hold media data, in the order they came."""

    def __init__(self) -> None:
        self.bytes = 0
        self._starts: list[int] = []
        self._ends = [-1]

    def add(self, start: int, end: int) -> None:
        """Take the body of an `mdat` box; each stands behind the one before."""
        self.bytes += end - start
        self._starts.append(start)
        self._ends.append(end)

    def holds(self, starts: Iterable[int], lengths: Iterable[int]) -> bool:
        """Whether each run of *lengths* bytes from *starts* lies within one range."""
        starts, at = tee(starts)
        limits = map(self._ends.__getitem__, map(bisect_right, repeat(self._starts), starts))
        return all(map(le, map(add, at, lengths), limits))


class SampleTables:
    """The `stbl` box of a track."""

    def __init__(self, stbl: Boxes, *, is_sound: bool) -> None:
        self._stbl = stbl
        self._is_sound = is_sound
        self._budget = stbl.budget
        self._is_short = False
        self._each, self.count = 0, 0
        self._sizes: array[int] = array(UINT32)
        if (stsz := stbl.only(b"stsz")) is not None:
            self._each, self.count = unpack(">II", stsz, 4)
            if not self._each:
                self.count = self._rows_there("stsz", stsz, 12, 4, self.count)
                self._sizes = numbers(UINT32, stsz, 12, self.count, self._budget)
        elif (stz2 := stbl.only(b"stz2")) is not None:
            bits, self.count = unpack(">3xBI", stz2, 4)
            self._sizes = self._packed(bits, stz2)
        self.bytes = self._each * self.count or sum(self._sizes)
        self.entries: int = unpack(">I", stbl.needed(b"stsd"), 4)[0]
        times = self._run_lengths()
        self._timed = sum(times[0::2])
        self.duration = sum(map(mul, times[0::2], times[1::2]))
        self._runs = self._runs_of_chunks()
        self._chunks = self._chunk_offsets()
        if (stss := stbl.only(b"stss")) is not None:
            rows_there("stss", stss, 8, SYNC_ROW, unpack(">I", stss, 4)[0], self._budget)
        if (ctts := stbl.only(b"ctts")) is not None:
            check_length(ctts, 8 + OFFSET_ROW * unpack(">I", ctts, 4)[0])
        for sdtp in stbl.all(b"sdtp"):
            check_length(sdtp, FULL_BOX)

    def check(self, media: MediaData) -> Iterator[str]:
        """Raise unless each sample lies in the *media* data; gives what is odd, in words."""
        if not self.count:
            if self._is_short and (self._timed or self._chunks or self._runs):
                raise NotAVideoError("corrupt", "a table is shorter than it says")
            return
        per_chunk, described = self._samples_per_chunk()
        if self._is_short and not self.count == self._timed == described:
            raise NotAVideoError("corrupt", "a table is shorter than it says, and its samples are told elsewhere")
        if described < self.count or not self._timed:
            raise NotAVideoError("corrupt", "some of the film's samples have no place in the file, or no time")
        if described > self.count:
            per_chunk = _clipped(per_chunk, self.count)
            yield "the tables of a track have room for more samples than there are"
        if self._timed != self.count:
            yield "the tables of a track disagree on how many samples there are"
        lengths = self._lengths(per_chunk)
        used = self._chunks[: self.count]  # each has a sample at least
        for at in range(0, len(used), BLOCK):
            self._budget.look_at_clock()
            starts = used[at : at + BLOCK]
            if not media.holds(starts, islice(lengths, len(starts))):
                raise NotAVideoError("truncated", "some of the film's samples lie outside its media data")

    def _lengths(self, per_chunk: Iterator[int]) -> Iterator[int]:
        """The bytes of each chunk, or as few as it has at least."""
        if self._each == NO_SIZE and self._is_sound:
            return repeat(1)
        if self._each:
            return map(mul, per_chunk, repeat(self._each))
        return map(sum, map(islice, repeat(iter(self._sizes)), per_chunk))

    def _samples_per_chunk(self) -> tuple[Iterator[int], int]:
        """The number of samples of each chunk, and the sum of these [8.7.4]."""
        firsts, samples, entries = self._runs[0::3], self._runs[1::3], self._runs[2::3]
        if not self._chunks or not firsts:
            raise NotAVideoError("corrupt", "some of the film's samples have no place in the file")
        ends = [*firsts[1:], len(self._chunks) + 1]
        is_in_order = firsts[0] == 1 and all(map(lt, firsts, ends))
        if not is_in_order or not min(samples) or not 1 <= min(entries) <= max(entries) <= self.entries:
            raise NotAVideoError("corrupt", "the tables of the film's chunks contradict each other")
        chunks = array(UINT32, map(sub, ends, firsts))
        return chain.from_iterable(map(repeat, samples, chunks)), sum(map(mul, samples, chunks))

    def _runs_of_chunks(self) -> array[int]:
        """First chunk, samples per chunk and description of each run [8.7.4]; decoders refuse a table cut short."""
        table = self._stbl.only(b"stsc")
        if table is None:
            return array(UINT32)
        return numbers(UINT32, table, 8, 3 * unpack(">I", table, 4)[0], self._budget)

    def _chunk_offsets(self) -> array[int]:
        """The offset of each chunk [8.7.5]."""
        for kind, width in ((b"stco", UINT32), (b"co64", UINT64)):
            if (table := self._stbl.only(kind)) is not None:
                (count,) = unpack(">I", table, 4)
                count = self._rows_there(kind.decode(), table, 8, array(width).itemsize, count)
                return numbers(width, table, 8, count, self._budget)
        return array(UINT32)

    def _run_lengths(self) -> array[int]:
        """Samples and duration of each run of samples of the same duration [8.6.1.2], one after the other."""
        table = self._stbl.only(b"stts")
        if table is None:
            return array(UINT32)
        count = self._rows_there("stts", table, 8, 8, unpack(">I", table, 4)[0])
        return numbers(UINT32, table, 8, 2 * count, self._budget)

    def _rows_there(self, kind: str, table: memoryview, offset: int, width: int, count: int) -> int:
        """As `rows_there`; where rows are missing, all tables must agree on the number of samples."""
        there = rows_there(kind, table, offset, width, count, self._budget)
        if there < count and not (there or kind == "stts"):
            raise NotAVideoError("corrupt", f"the {kind} table of a track has none of its rows")
        self._is_short = self._is_short or there < count
        return there

    def _packed(self, bits: int, table: memoryview) -> array[int]:
        """The sizes in a compact table, of 4, 8 or 16 bits each [8.7.3.3]."""
        if bits not in (4, 8, 16):
            raise NotAVideoError("corrupt", "a table of sample sizes has an unknown form")
        end = 12 + (self.count * bits + 7) // 8
        check_length(table, end)
        self._budget.take_rows(self.count)
        octets = bytes(table[12:end])
        if bits == 16:
            return array(UINT32, map(add, map(mul, octets[0::2], repeat(256)), octets[1::2]))
        if bits == 8:
            return array(UINT32, octets)
        halves = chain.from_iterable((octet >> 4, octet & 15) for octet in octets)
        return array(UINT32, islice(halves, self.count))


def _clipped(per_chunk: Iterator[int], count: int) -> Iterator[int]:
    """*per_chunk*, with nothing behind the first *count* samples."""
    upto, before = tee(map(min, accumulate(per_chunk), repeat(count)))
    return map(sub, upto, chain((0,), before))
