"""Whether the bytes that flow by are a whole film: the container is told by its first bytes, the rest by its walk."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.boxes import SHORT_HEADER
from worker.video.facts import VideoFacts
from worker.video.film_type import MP4, FilmType
from worker.video.matroska import MatroskaWalk
from worker.video.mp4 import FIRST, Mp4Walk

EBML_MAGIC = b"\x1aE\xdf\xa3"
MAGIC_BYTES = 16
TS_SYNC = 0x47
TS_PACKETS = ((0, 188), (4, 192))
"""The offset of the first packet of an MPEG transport stream, and the distance of the next."""

MOST_HEAD_BYTES = 512

BLANK = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LOOKS = (
    (b"\x89PNG", "picture", "a PNG image"),
    (b"\xff\xd8\xff", "picture", "a JPEG image"),
    (b"BM", "picture", "a BMP image"),
    (b"II*\0", "picture", "a TIFF image"),
    (b"MM\0*", "picture", "a TIFF image"),
    (b"\0\0\0\x0cJXL ", "picture", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "picture", "a JPEG 2000 image"),
    (b"GIF8", "unchecked", "a GIF image"),
    (b"ID3", "no_video", "sound (MP3)"),
    (b"fLaC", "no_video", "sound (FLAC)"),
    (b"OggS", "unchecked", "an Ogg file"),
    (b"FLV\1", "unchecked", "a Flash video"),
    (b"\0\0\1\xba", "unchecked", "an MPEG program stream"),
    (b"\x30\x26\xb2\x75", "unchecked", "a Windows Media file"),
    (b"\x1f\x8b", "unchecked", "gzip"),
    (b"PK\3\4", "unchecked", "a ZIP archive"),
    (b"#EXTM3U", "page", "a playlist"),
    (b"%PDF", "page", "a PDF"),
    (b"{", "page", "JSON"),
    (b"[", "page", "JSON"),
    (b"<", "page", "HTML or XML"),
)
"""The first bytes of files that are no film, the error's reason for each, and its name."""

RIFF = {
    b"WEBP": ("picture", "a WebP image"),
    b"AVI ": ("unchecked", "an AVI file"),
    b"WAVE": ("no_video", "sound (WAV)"),
}
UNKNOWN = ("unchecked", "something else")
TEXT = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F)))


class FilmWalk:
    """One pass over one file of any kind, fed in pieces of any size. *clock* tells seconds of CPU time."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._budget = Budget(clock)
        self._head = b""
        self._walk: Mp4Walk | MatroskaWalk | None = None

    @property
    def film_type(self) -> FilmType:
        """The film type that the bytes so far show; MP4 while they show none."""
        return MP4 if self._walk is None else self._walk.film_type

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises `NotAVideoError` as soon as they cannot belong to a film."""
        if self._walk is not None:
            self._walk.feed(data)
            return
        view = memoryview(data)
        taken = MOST_HEAD_BYTES - len(self._head)
        self._head += view[:taken]
        self._choose()
        if self._walk is not None:
            self._walk.feed(self._head)
            self._walk.feed(view[taken:])
            self._head = b""

    def finish(self, *, is_end_certain: bool = True) -> VideoFacts:
        """Judge the whole; raises `NotAVideoError` unless the film is whole.

        Where the end is not certain, only a film passes that proves itself whole.
        """
        if self._walk is None:
            is_too_short = len(self._head) < SHORT_HEADER and look_at(self._head) == UNKNOWN
            if is_too_short or not self._head:
                raise NotAVideoError("truncated", f"only {len(self._head)} bytes came")
            raise _no_film(self._head)
        return self._walk.finish(is_end_certain=is_end_certain)

    def _choose(self) -> None:
        """Choose the walk by the first bytes; raises where they begin no film."""
        head = self._head
        if head.startswith(EBML_MAGIC):
            self._walk = MatroskaWalk(self._budget)
        elif head[4:8] in FIRST:
            self._walk = Mp4Walk(self._budget)
        elif len(head) >= MAGIC_BYTES and not _may_be_more(head[:MAGIC_BYTES]):
            raise _no_film(head[:MAGIC_BYTES])
        elif len(head) == MOST_HEAD_BYTES:
            raise _no_film(head)


def _no_film(head: bytes) -> NotAVideoError:
    reason, name = look_at(head)
    return NotAVideoError(reason, f"the file begins like {name}, not like a film")


def look_at(head: bytes) -> tuple[str, str]:
    """The reason to refuse what begins with *head*, and its name."""
    for at, stride in TS_PACKETS:
        if len(head) > at + stride and head[at] == TS_SYNC == head[at + stride]:
            return "unchecked", "an MPEG transport stream"
    if head.startswith(b"RIFF"):
        return RIFF.get(head[8:12], ("unchecked", "a RIFF file"))
    begin = head.removeprefix(BYTE_ORDER_MARK).lstrip(BLANK)
    for magic, reason, name in LOOKS:
        if begin.startswith(magic):
            return reason, name
    return ("page", "text") if TEXT.issuperset(begin) else UNKNOWN


def _may_be_more(head: bytes) -> bool:
    """Whether more bytes may tell more: of white space, of text, or of a transport stream."""
    is_known = look_at(head)[1] not in ("text", UNKNOWN[1])
    return not head.lstrip(BLANK) or (TS_SYNC in (head[0], head[4]) and not is_known)
