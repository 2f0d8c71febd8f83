"""Bytes behind a film that are no part of it: a line end, an ID3 tag, an error page."""

from __future__ import annotations

from collections.abc import Sequence

BLANK = b"\0 \t\r\n"
ID3V1_BYTES = 128


class Trailing:
    """The bytes, from *start* of the file on, that may not belong to the film.

    *marks*, found among them, show that more of the film lies there.
    """

    def __init__(self, start: int, head: bytes, marks: Sequence[bytes]) -> None:
        self.start = start
        self._marks = marks
        self.bytes = 0
        self.holds_film = False
        """Whether boxes of a film seem to lie among them."""
        self._is_blank = True
        self._first = b""
        self._last = b""
        self.take(memoryview(head))

    def take(self, piece: memoryview) -> None:
        """Look at the next bytes."""
        data = bytes(piece)
        self.bytes += len(data)
        self._is_blank = self._is_blank and not data.strip(BLANK)
        self._first = (self._first + data[:3])[:3]
        seen = self._last + data
        self.holds_film = self.holds_film or any(mark in seen for mark in self._marks)
        self._last = seen[-3:]

    @property
    def note(self) -> str:
        """Describe the oddity of a film with these bytes behind it."""
        return f"the file goes on behind the film for {self.bytes} bytes"

    @property
    def is_harmless(self) -> bool:
        """Whether they were put there on purpose, so that the film in front of them is not cut."""
        return self._is_blank or (self._first == b"TAG" and self.bytes == ID3V1_BYTES)
