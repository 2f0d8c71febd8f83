"""Reading the boxes and tables of ISO/IEC 14496-12 from memory, each read checked against the box it is in."""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

from worker.errors import NotAVideoError
from worker.video.bounds import Budget

MOST_CHILDREN = 10_000  # of one box
SHORT_HEADER, LONG_HEADER = 8, 16
TO_END, LONG_SIZE = 0, 1
"""Values of a size field that are no size [4.2]: to the end of what holds the box; the size follows, in 64 bits."""

PARTS = re.compile(b"trak|mdia|minf|stbl|stsd|stts|ctts|stsc|stsz|stz2|stco|co64|mvex|trex|traf|tfhd|trun")
"""Found in what is no whole box, these kinds show that a part of the film is lost there. (Headers are missed by
themselves; `hdlr` stands in words about the film, too.)"""

TOLD_TWICE = (b"edts", b"elst", b"dinf", b"dref", b"stss", b"mehd")
"""Boxes that do not tell where samples lie: of two, the first is taken."""

THE_SAME_TWICE = (b"mvhd", b"hdlr", b"mvex", b"stts", b"stsc", b"stsz", b"stz2", b"stco", b"co64")
"""Of these, the first is taken where both say the same; decoders refuse a film with two of any other."""

UINT32, UINT64 = "I", "Q"
"""Type codes of `array` for the two widths of numbers."""


class Boxes:
    """The boxes directly inside *parent*, by kind, each kind in file order; read once."""

    def __init__(self, parent: memoryview, budget: Budget) -> None:
        self._found: dict[bytes, list[memoryview]] = {}
        self.budget = budget
        at = 0
        for _ in range(MOST_CHILDREN):
            if len(parent) - at < SHORT_HEADER:  # less than a header: QuickTime ends some lists with zeros
                return
            budget.take_box()
            size, kind = unpack(">I4s", parent, at)
            header = SHORT_HEADER
            if size == LONG_SIZE:
                (size,), header = unpack(">Q", parent, at + SHORT_HEADER), LONG_HEADER
            elif size == TO_END:
                size = len(parent) - at
            if not header <= size <= len(parent) - at:
                self._pass_over(parent[at:])
                return
            self._found.setdefault(kind, []).append(parent[at + header : at + size])
            at += size
        if len(parent) - at >= SHORT_HEADER:
            raise NotAVideoError("unchecked", f"a box holds more boxes than a film needs, over {MOST_CHILDREN}")

    def _pass_over(self, rest: memoryview) -> None:
        """Note that *rest* is no whole box; raises where a part of the film seems to lie in it."""
        self.budget.look_at_clock()
        if PARTS.search(rest):
            raise NotAVideoError("corrupt", "a box does not fit in the one around it")
        self.budget.notes.append("a box of the film's description does not fit in the one around it")

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def all(self, kind: bytes) -> list[memoryview]:
        """The bodies of all boxes of this *kind*."""
        return self._found.get(kind, [])

    def only(self, kind: bytes) -> memoryview | None:
        """The body of the only box of this *kind*, or None.

        Of two that do no harm, the first, which is noted; raises where there are more in which samples may differ.
        """
        found = self._found.get(kind)
        if found is None:
            return None
        if len(found) > 1:
            words = f"the film's description has two {kind.decode()} boxes in one place"
            is_same = kind in THE_SAME_TWICE and all(other == found[0] for other in found[1:])
            if not is_same and kind not in TOLD_TWICE:
                raise NotAVideoError("corrupt", words)
            self.budget.notes.append(words)
        return found[0]

    def needed(self, kind: bytes) -> memoryview:
        """The body of the only box of this *kind*; raises where there is none."""
        found = self.only(kind)
        if found is None:
            raise NotAVideoError("corrupt", f"the film's description lacks its {kind.decode()} box")
        return found

    def inside(self, kind: bytes) -> Boxes:
        """The boxes in the only box of this *kind*; raises where there is none."""
        return Boxes(self.needed(kind), self.budget)


def unpack(form: str, data: memoryview, offset: int) -> tuple[Any, ...]:
    """Fields of a box at *offset*, as `struct` reads *form*."""
    try:
        return struct.unpack_from(form, data, offset)
    except struct.error as err:
        raise NotAVideoError("corrupt", "a box is shorter than its content") from err


def numbers(kind: str, table: memoryview, offset: int, count: int, budget: Budget) -> array[int]:
    """*count* unsigned numbers, UINT32 or UINT64, that begin at *offset* of a *table*."""
    found = array(kind)
    end = offset + found.itemsize * count
    check_length(table, end)
    budget.take_rows(count)
    found.frombytes(table[offset:end])
    if sys.byteorder == "little":
        found.byteswap()
    return found


def rows(form: str, table: memoryview, offset: int, count: int, budget: Budget) -> Iterator[tuple[Any, ...]]:
    """*count* rows, as `struct` reads *form*, that begin at *offset* of a *table*."""
    end = offset + struct.calcsize(form) * count
    check_length(table, end)
    budget.take_rows(count)
    return struct.iter_unpack(form, table[offset:end])


def rows_there(kind: str, table: memoryview, offset: int, width: int, count: int, budget: Budget) -> int:
    """Count the rows, of *count* with *width* bytes, that the *table* really has from *offset* on; fewer are noted."""
    there = min(count, max(0, len(table) - offset) // width)
    if there < count:
        budget.notes.append(f"the {kind} table of a track is shorter than it says")
    return there


def check_length(table: memoryview, end: int) -> None:
    """Raise unless the *table* reaches to *end*."""
    if end > len(table):
        raise NotAVideoError("corrupt", "a table is shorter than it says")


def is_long(full_box: memoryview) -> bool:
    """Whether its times take 64 bits."""
    (version,) = unpack(">B", full_box, 0)
    return bool(version == 1)
