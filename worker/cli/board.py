"""Progress of several things at once: redrawn lines in a terminal, plain lines on change in a pipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TextIO

from worker.cli.output import cut
from worker.guard.text import printable

_UP_AND_CLEAR = "\x1b[{count}A\x1b[J"


@dataclass(frozen=True)
class Line:
    """One thing's progress. `ticking` changes all the time, and is only worth showing where it is redrawn."""

    text: str
    ticking: str = ""


class Board:
    """Lines of progress on *stream*; each call of `show` gives all of them anew."""

    def __init__(self, stream: TextIO, *, live: bool) -> None:
        self._stream = stream
        self._live = live
        self._drawn = 0
        self._said: dict[int, str] = {}
        self._notes: SimpleQueue[str] = SimpleQueue()

    def note(self, words: str) -> None:
        """Say *words* above the lines, at their next showing; any thread may call it."""
        self._notes.put(words)

    def show(self, lines: Sequence[Line]) -> None:
        """Show *lines* in place of those shown before."""
        self._say_notes()
        if self._live:
            self._redraw(lines)
        else:
            self._say_changes(lines)
        self._stream.flush()

    def _say_notes(self) -> None:
        while not self._notes.empty():
            self._stream.write(f"{self._back()}{printable(self._notes.get())}\n")

    def _back(self) -> str:
        """The control sequence that clears the lines that are drawn."""
        drawn, self._drawn = self._drawn, 0
        return _UP_AND_CLEAR.format(count=drawn) if drawn else ""

    def _redraw(self, lines: Sequence[Line]) -> None:
        width = shutil.get_terminal_size().columns
        rows = [cut(printable(f"{line.text}  {line.ticking}".rstrip()), width) for line in lines]
        self._stream.write(self._back() + "".join(f"{row}\n" for row in rows))
        self._drawn = len(rows)

    def _say_changes(self, lines: Sequence[Line]) -> None:
        for place, line in enumerate(lines):
            if self._said.get(place) != line.text:
                self._said[place] = line.text
                self._stream.write(f"{printable(line.text)}\n")


def is_live(stream: TextIO, env: Mapping[str, str] = os.environ) -> bool:
    """True where lines of *stream* can be redrawn."""
    return stream.isatty() and env.get("TERM", "") not in ("", "dumb")
