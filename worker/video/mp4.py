"""Whether the bytes that flow by are a whole MP4 with a video track.

`Mp4Walk` is fed a file in pieces of any size. It follows the boxes of ISO/IEC
14496-12, keeps the small ones that describe the film (`movie.py` reads them),
and only counts the media data. A file cut short, an HTML page, a playlist or
junk behind the last box is refused; so is a film whose samples lie outside the
media data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from worker.errors import NotAVideoError
from worker.video.moov import Fragment, MediaData, Movie

MOST_KEPT_BYTES = 16 * 1024**2
"""Largest `moov` or `moof`: some 20 bytes a sample make 16 MiB nine hours of film."""

MOST_BOXES = 100_000
SHORT_HEADER, LONG_HEADER = 8, 16
TO_END_OF_FILE, LONG_SIZE = 0, 1  # what a size field may say instead of a size [4.2]

LOOKS = (
    (b"\x89PNG", "picture", "a PNG image"),
    (b"\xff\xd8\xff", "picture", "a JPEG image"),
    (b"#EXTM3U", "page", "a playlist"),
    (b"\x1aE\xdf\xa3", "unchecked", "Matroska or WebM"),
    (b"GIF8", "unchecked", "a GIF image"),
    (b"{", "page", "JSON"),
    (b"<", "page", "HTML or XML"),
)
"""What a file that is no MP4 begins with, the error's reason for it, and its name."""
TEXT = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F)))


@dataclass(frozen=True)
class VideoFacts:
    """What the file says of itself. `codec` is the sample entry's code, such as `avc1`."""

    seconds: float
    width: int
    height: int
    codec: str


@dataclass
class _OpenBox:
    """The box whose body is flowing by. `left` is None when it lasts to the end of the file."""

    kind: bytes
    start: int
    left: int | None
    kept: bytearray | None


class Mp4Walk:
    """One pass over one file; memory stays below `MOST_KEPT_BYTES` and a little."""

    def __init__(self) -> None:
        self._position = 0
        self._boxes = 0
        self._head = bytearray()
        self._box: _OpenBox | None = None
        self._movie: Movie | None = None
        self._media = MediaData()
        self._fragments = Fragment()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises `NotAVideoError` as soon as they cannot belong to an MP4."""
        view = memoryview(data)
        while view:
            taken = self._take_header(view) if self._box is None else self._take_body(self._box, view)
            self._position += taken
            view = view[taken:]
            if self._box and self._box.left == 0:
                self._close(self._box)

    def finish(self) -> VideoFacts:
        """Judge the whole; raises `NotAVideoError` unless every box ended and a video track has its samples."""
        box = self._box
        if self._head or (box and box.left is not None):
            raise NotAVideoError("truncated", f"the file ends inside a box, after {self._position} bytes")
        if box:
            self._close(box)
        if self._movie is None:
            raise NotAVideoError("not_mp4", "there is no moov box: nothing describes the film")
        seconds, codec, width, height = self._movie.check(self._media, self._fragments)
        return VideoFacts(round(seconds, 3), width, height, codec)

    def _take_header(self, view: memoryview) -> int:
        wanted = LONG_HEADER if self._head[:4] == b"\0\0\0\1" else SHORT_HEADER
        taken = min(wanted - len(self._head), len(view))
        self._head += view[:taken]
        if len(self._head) == wanted and (wanted == LONG_HEADER or self._head[:4] != b"\0\0\0\1"):
            self._open(bytes(self._head), self._position + taken)
            self._head.clear()
        return taken

    def _open(self, head: bytes, body_at: int) -> None:
        """Begin the box that *head* announces."""
        size, kind = struct.unpack_from(">I4s", head)
        if self._boxes == 0 and kind != b"ftyp":
            reason, name = _look(head)
            raise NotAVideoError(reason, f"the file begins like {name}, not like an MP4")
        self._boxes += 1
        if self._boxes > MOST_BOXES or not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            raise NotAVideoError("corrupt", f"what stands after {body_at - len(head)} bytes is no box")
        if size == LONG_SIZE:
            (size,) = struct.unpack_from(">Q", head, SHORT_HEADER)
        left = None if size == TO_END_OF_FILE else size - len(head)
        if left is not None and left < 0:
            raise NotAVideoError("corrupt", "a box is smaller than its own header")
        is_kept = kind in (b"moov", b"moof")
        if is_kept and (left or 0) > MOST_KEPT_BYTES:
            raise NotAVideoError("corrupt", f"the box that describes the film is over {MOST_KEPT_BYTES} bytes")
        self._box = _OpenBox(kind, body_at, left, bytearray() if is_kept else None)

    def _take_body(self, box: _OpenBox, view: memoryview) -> int:
        taken = len(view) if box.left is None else min(box.left, len(view))
        if box.left is not None:
            box.left -= taken
        if box.kept is not None:
            box.kept += view[:taken]
            if len(box.kept) > MOST_KEPT_BYTES:
                raise NotAVideoError("corrupt", f"the box that describes the film is over {MOST_KEPT_BYTES} bytes")
        return taken

    def _close(self, box: _OpenBox) -> None:
        """The box has ended: learn from it."""
        self._box = None
        if box.kind == b"mdat":
            self._media.add(box.start, self._position)
        elif box.kind == b"moov" and box.kept is not None:
            if self._movie is not None:
                raise NotAVideoError("corrupt", "there are two moov boxes")
            self._movie = Movie(memoryview(box.kept))
        elif box.kind == b"moof" and box.kept is not None:
            if self._movie is None:
                raise NotAVideoError("corrupt", "a fragment stands before the moov box")
            self._fragments += self._movie.read_fragment(memoryview(box.kept))


def _look(head: bytes) -> tuple[str, str]:
    """The reason and the name of what begins with *head*."""
    for magic, reason, name in LOOKS:
        if head.lstrip().startswith(magic):
            return reason, name
    return ("page", "text") if TEXT.issuperset(head) else ("unchecked", "something else")
