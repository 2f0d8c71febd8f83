"""One video on its way from a download to the bucket: cut into parts, hashed, walked, counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from worker.errors import DownloadError
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk
from worker.video.film_type import MP4, FilmType


@dataclass(frozen=True)
class Content:
    """A stream's content, once it is known to be a whole video."""

    bytes: int
    sha256: str
    facts: VideoFacts
    film_type: FilmType = MP4


class Intake:
    """Reads *chunks* once, in parts that fill a buffer. *declared_bytes*, when known, must come true.

    *is_end_certain* is asked when the chunks have ended: whether the host told that this is all (by a length, a
    last chunk, an orderly end of TLS). Otherwise only a film passes that proves itself whole. *clock* tells seconds
    of CPU time, which checking may take only so much of.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        declared_bytes: int | None = None,
        *,
        is_end_certain: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._chunks = iter(chunks)
        self._declared_bytes = declared_bytes
        self._is_end_certain = is_end_certain
        self._rest = memoryview(b"")
        self._bytes = 0
        self._digest = sha256()
        self._walk = FilmWalk(clock)
        self._film_type: FilmType | None = None

    @property
    def film_type(self) -> FilmType:
        """The film type of the first bytes; known once `fill` has returned, and the same ever after."""
        self._film_type = self._film_type or self._walk.film_type
        return self._film_type

    def fill(self, buffer: bytearray) -> int:
        """Put the next bytes in *buffer*; fewer than it holds only at the end.

        Raises `NotAVideoError` as soon as the bytes cannot be a video.
        """
        view, filled = memoryview(buffer), 0
        while filled < len(buffer) and not self.is_done():
            taken = min(len(buffer) - filled, len(self._rest))
            view[filled : filled + taken] = self._rest[:taken]
            self._rest = self._rest[taken:]
            filled += taken
        return filled

    def is_done(self) -> bool:
        """Whether all has been read; waits for the next chunk to know, and raises as `fill` does."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._examine(chunk)
            self._rest = memoryview(chunk)
        return False

    def _examine(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._declared_bytes is not None and self._bytes > self._declared_bytes:
            raise DownloadError("too_large", f"more than the declared {self._declared_bytes} bytes")
        self._check(chunk)
        self._digest.update(chunk)

    def _check(self, chunk: bytes) -> None:
        self._walk.feed(chunk)

    def drain(self) -> Content:
        """Read all that is left, keep none of it, and judge as `finish` does."""
        while not self.is_done():
            self._rest = memoryview(b"")
        return self.finish()

    def finish(self) -> Content:
        """Judge what went by; raises `DownloadError` unless it was a whole video of the declared length."""
        self.check_length()
        facts = self._walk.finish(is_end_certain=self._is_told_whole())
        return Content(self._bytes, self._digest.hexdigest(), facts, self.film_type)

    def _is_told_whole(self) -> bool:
        return self._declared_bytes is not None or self._is_end_certain()

    def check_length(self) -> None:
        """Raise `DownloadError` unless as many bytes came as were declared."""
        if self._declared_bytes is not None and self._bytes != self._declared_bytes:
            raise DownloadError("truncated", f"{self._bytes} of {self._declared_bytes} bytes came")


class UncheckedIntake(Intake):
    """The same for bytes that are kept whatever they are: only their length must come true, or their end be told."""

    def _check(self, chunk: bytes) -> None: ...

    def check_length(self) -> None:
        """Raise `DownloadError` unless as many bytes came as were declared, or the end was told."""
        super().check_length()
        if not self._is_told_whole():
            raise DownloadError("cut", "the connection ended without a length or a sign that all had come")
