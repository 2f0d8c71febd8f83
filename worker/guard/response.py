"""The head and the body of one HTTP/1 answer, read within bounds.

`http.client` reads interim answers and trailers in loops of its own, takes 103 for the answer, drops every field
behind a line without a colon, and reads a chunk of size -1 into memory to the end. Here each line and each piece
has a largest size; the connection below counts their sum and their time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from worker.errors import DownloadError
from worker.guard.connection import Connection

LONGEST_LINE = 32 * 1024
LONGEST_SIZE_LINE = 256
SWITCHING_PROTOCOLS = 101
STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class BodyEnd(StrEnum):
    """The ends of a body."""

    DECLARED = "declared"  # at its declared length, or with its last chunk
    CLOSED = "closed"  # no length was declared; TLS ended in order (close_notify)
    UNKNOWN = "unknown"  # no length was declared and the connection just ended: whole or cut


@dataclass(frozen=True)
class Head:
    """Status and header fields of an answer; names in lower case, in the order they came."""

    status: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)

    def first(self, name: str) -> str | None:
        """The first value of the field *name*, if there is one."""
        return next((value for found, value in self.fields if found == name), None)

    def parts(self, name: str) -> list[str]:
        """The members of the list field *name*, in lower case, however it is repeated."""
        values = [value for found, value in self.fields if found == name]
        return [part.strip().lower() for value in values for part in value.split(",") if part.strip()]


def read_head(connection: Connection) -> Head:
    """Read the head of the answer; interim ones (100, 102, 103) are skipped."""
    while True:
        line = connection.line(LONGEST_LINE)
        if not line or (line.startswith(b"HTTP/") and not line.endswith(b"\n")):
            raise DownloadError("cut", "the host closed the connection instead of answering")
        found = STATUS_LINE.fullmatch(line)
        if found is None:
            raise DownloadError("protocol", "the host does not answer in HTTP")
        status, fields = int(found[1]), _read_fields(connection)
        if status >= 200 or status == SWITCHING_PROTOCOLS:
            return Head(status, tuple(fields))


def _read_fields(connection: Connection) -> list[tuple[str, str]]:
    """Read the header fields to the empty line; a line that is none is left out, a folded one joined."""
    fields: list[tuple[str, str]] = []
    while (line := connection.line(LONGEST_LINE)) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            raise DownloadError("headers" if len(line) == LONGEST_LINE else "cut", "the answer's head does not end")
        name, colon, value = line.decode("latin-1").partition(":")
        if line[:1] in b" \t" and fields:
            folded = fields.pop()
            fields.append((folded[0], f"{folded[1]} {line.decode('latin-1').strip()}"))
        elif colon:
            fields.append((name.strip().lower(), value.strip()))
    return fields


class Body:
    """The bytes behind a head, as they are framed. `end` is None until the last one was read."""

    def __init__(self, head: Head, connection: Connection) -> None:
        self._connection = connection
        codings = head.parts("transfer-encoding")
        self._is_chunked = "chunked" in codings
        self.declared_bytes = None if self._is_chunked else _declared_bytes(head)
        self._left = 0 if self._is_chunked else self.declared_bytes
        self.end: BodyEnd | None = None

    def read(self, most_bytes: int) -> bytes:
        """The next bytes, at most so many; none at the end. Raises `DownloadError("truncated")` at an early end."""
        if self.end is not None:
            return b""
        if self._is_chunked:
            return self._read_chunk(most_bytes)
        data = self._connection.read(most_bytes if self._left is None else min(most_bytes, self._left))
        if self._left is not None:
            self._left -= len(data)
            if self._left == 0:
                self.end = BodyEnd.DECLARED
            elif not data:
                raise DownloadError("truncated", f"{self._left} of {self.declared_bytes} bytes did not come")
        elif not data:
            self.end = BodyEnd.CLOSED if self._connection.ended_in_order else BodyEnd.UNKNOWN
        return data

    def _read_chunk(self, most_bytes: int) -> bytes:
        """A piece of a chunk [RFC 9112 7.1]. Trailers are left unread."""
        if not self._left:
            self._left = self._next_size()
            if not self._left:
                self.end = BodyEnd.DECLARED
                return b""
        data = self._connection.read(min(most_bytes, self._left))
        self._left -= len(data)
        if not data or (self._left == 0 and self._connection.line(2 + 1) not in (b"\r\n", b"\n")):
            raise DownloadError("truncated", "the body ends inside a chunk")
        return data

    def _next_size(self) -> int:
        line = self._connection.line(LONGEST_SIZE_LINE)
        found = SIZE_LINE.fullmatch(line)
        if found is None:
            raise DownloadError("protocol" if line.endswith(b"\n") else "truncated", "a chunk has no readable size")
        return int(found[1], 16)


def _declared_bytes(head: Head) -> int | None:
    """The one length that all Content-Length fields declare; None where there is none."""
    lengths = set(head.parts("content-length"))
    if len(lengths) > 1 or not all(text.isascii() and text.isdigit() and len(text) < 20 for text in lengths):
        raise DownloadError("headers", "the body's length is not one number")
    return int(lengths.pop()) if lengths else None
