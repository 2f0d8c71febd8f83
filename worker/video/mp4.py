"""Whether the bytes that flow by are a whole MP4 or QuickTime film with a video track.

`Mp4Walk` is fed a file in pieces of any size. It follows the boxes of ISO/IEC
14496-12, keeps those that describe the film (`moov.py` and `fragments.py` read
them), and only counts the media data. A file cut short is refused, and so is a
film whose samples lie outside the media data. What stands before and behind a
whole film does no harm and is noted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.boxes import LONG_HEADER, LONG_SIZE, SHORT_HEADER, TO_END
from worker.video.facts import ONE_PICTURE, VideoFacts
from worker.video.film_type import MOV, MP4, FilmType
from worker.video.fragments import Fragments
from worker.video.moov import VIDEO, Movie, Track
from worker.video.tables import MediaData
from worker.video.trailing import Trailing

MOST_KEPT_BYTES = 32 * 1024**2
"""Largest box that is kept: some 20 bytes a sample make 32 MiB eighteen hours of film."""

FTYP, MOOV, MOOF, MDAT, SIDX, MFRA = b"ftyp", b"moov", b"moof", b"mdat", b"sidx", b"mfra"
KEPT = (FTYP, MOOV, MOOF, SIDX, MFRA)
FILM = (*KEPT, MDAT, b"styp")
"""Boxes that a film needs whole."""

MARKS = (MOOV, MOOF, MDAT)
"""Found among bytes that are no boxes, these show that more of the film lies there."""

PADDING = (b"free", b"skip", b"wide", b"uuid", b"udta", b"meta", b"pnot", b"PICT", b"pdin", b"emsg", b"prft", b"ssix")
FIRST = (*FILM, *PADDING)
"""The boxes with which a file of this kind may begin; only some of them should."""

NAME = frozenset((*range(0x20, 0x7F), 0xA9))
"""Bytes that a box's kind is made of; the last is QuickTime's copyright sign."""

QUICKTIME_BRAND = b"qt  "
STILL_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"jpeg", b"crx ")


@dataclass
class _OpenBox:
    """The box whose body is flowing by. `left` is None when it lasts to the end of the file."""

    kind: bytes
    header_at: int
    body_at: int
    left: int | None
    kept: bytearray | None
    trailing: Trailing | None


class Mp4Walk:
    """One pass over one file; memory stays below twice `MOST_KEPT_BYTES`."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._position = 0
        self._head = bytearray()
        self._box: _OpenBox | None = None
        self._brand: bytes | None = None
        self._has_begun = False
        self._movie: Movie | None = None
        self._media = MediaData()
        self._fragments = Fragments(self._budget)
        self._notes: list[str] = []

    @property
    def film_type(self) -> FilmType:
        """QuickTime by the brand or for want of one, else MP4."""
        is_quicktime = self._brand == QUICKTIME_BRAND or (self._brand is None and self._has_begun)
        return MOV if is_quicktime else MP4

    @property
    def is_fragmented(self) -> bool:
        """Whether fragments may describe some of the samples, or nothing has described any yet."""
        return self._movie is None or self._movie.extension is not None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises `NotAVideoError` as soon as they cannot belong to a film."""
        view = memoryview(data)
        with self._budget:
            while view:
                taken = self._take_header(view) if self._box is None else self._take_body(self._box, view)
                self._position += taken
                view = view[taken:]
                if self._box and self._box.left == 0:
                    self._close(self._box)

    def finish(self, *, is_end_certain: bool = True) -> VideoFacts:
        """Judge the whole; raises `NotAVideoError` unless the film is whole.

        Where the end is not certain, since the bytes might have been cut, only a film passes that proves itself
        whole: by the tables of all its samples, or by an index of its fragments.
        """
        with self._budget:
            trailing = self._end_of_boxes(is_end_certain=is_end_certain)
            if self._movie is None:
                raise self._without_movie()
            if trailing is not None and trailing.holds_film:
                raise NotAVideoError("corrupt", f"what stands after {trailing.start} bytes is no box of a film")
            if trailing is not None:
                self._notes.append(trailing.note)
            facts = self._facts(self._movie, trailing.start if trailing else self._position)
            is_cut_short = trailing is not None and not trailing.is_harmless
            if (is_cut_short or not is_end_certain) and not self._is_proven_whole(self._movie):
                raise NotAVideoError("truncated", "nothing tells that the film's last fragment is its last")
            return facts

    def _take_header(self, view: memoryview) -> int:
        wanted = LONG_HEADER if self._head[:4] == b"\0\0\0\1" else SHORT_HEADER
        taken = min(wanted - len(self._head), len(view))
        self._head += view[:taken]
        if len(self._head) == wanted and (wanted == LONG_HEADER or self._head[:4] != b"\0\0\0\1"):
            self._open(bytes(self._head), self._position + taken)
            self._head.clear()
        return taken

    def _open(self, head: bytes, body_at: int) -> None:
        """Begin the box that *head* announces, or the bytes behind the film that are none."""
        self._budget.take_box()
        size, kind = struct.unpack_from(">I4s", head)
        header_at = body_at - len(head)
        if size == LONG_SIZE:
            (size,) = struct.unpack_from(">Q", head, SHORT_HEADER)
        left = None if size == TO_END else size - len(head)
        is_box = NAME.issuperset(kind) and (left is None or left >= 0)
        if not is_box and self._movie is None:
            raise NotAVideoError("corrupt", f"what stands after {header_at} bytes is no box")
        kept = bytearray() if is_box and kind in KEPT else None
        if kept is not None and (left or 0) > MOST_KEPT_BYTES:
            raise _too_large(kind)
        may_be_trailing = not is_box or kind not in FIRST
        trailing = Trailing(header_at, head, MARKS) if may_be_trailing and self._movie is not None else None
        self._box = _OpenBox(kind if is_box else b"", header_at, body_at, left if is_box else None, kept, trailing)
        self._note_begin(kind)

    def _note_begin(self, kind: bytes) -> None:
        """Note what stands where `ftyp` should."""
        if kind == FTYP and self._brand is None and (self._has_begun or self._notes):
            self._notes.append("the ftyp box is not the first one")
        if not self._has_begun and self._brand is None and kind in (MOOV, MOOF, MDAT):
            self._has_begun = True
            self._notes.append("there is no ftyp box in front of the film")
        elif not self._has_begun and self._brand is None and kind != FTYP and not self._notes:
            self._notes.append(f"the file begins with a {kind.decode('latin-1')} box")

    def _take_body(self, box: _OpenBox, view: memoryview) -> int:
        taken = len(view) if box.left is None else min(box.left, len(view))
        if box.left is not None:
            box.left -= taken
        if box.trailing is not None:
            box.trailing.take(view[:taken])
        if box.kept is not None:
            box.kept += view[:taken]
            if len(box.kept) > MOST_KEPT_BYTES:
                raise _too_large(box.kind)
        return taken

    def _close(self, box: _OpenBox) -> None:
        """The box has ended: learn from it."""
        self._box = None
        if box.kind == MDAT:
            self._media.add(box.body_at, self._position)
        if box.kept is None:
            return
        body = memoryview(box.kept)
        if box.kind == FTYP and self._brand is None and not self._has_begun:
            self._brand = bytes(body[:4])
        elif box.kind == MOOV:
            if self._movie is not None:
                raise NotAVideoError("corrupt", "there are two moov boxes")
            self._movie = Movie(body, self._budget)
            self._fragments.announce(self._movie)
        elif box.kind == MOOF:
            if self._movie is None:
                raise NotAVideoError("corrupt", "a fragment stands before the moov box")
            self._fragments.add(body, box.header_at)
        elif box.kind == SIDX:
            self._fragments.take_sidx(body, self._position)
        elif box.kind == MFRA:
            self._fragments.take_mfra(body)

    def _end_of_boxes(self, *, is_end_certain: bool) -> Trailing | None:
        """Close the last box; gives what stands behind the film, if it is no box or not a whole one."""
        box = self._box
        if box is None:
            if self._head and self._movie is None:
                raise NotAVideoError("truncated", f"the file ends inside a box, after {self._position} bytes")
            return Trailing(self._position - len(self._head), bytes(self._head), MARKS) if self._head else None
        if box.trailing is not None and (box.left is not None or not box.kind):
            return box.trailing
        if box.left is not None:
            is_samples_only = box.kind == MDAT and not self._media.bytes and not self.is_fragmented
            if not is_samples_only or not is_end_certain:
                raise NotAVideoError("truncated", f"the file ends inside a box, after {self._position} bytes")
            # all that was sent came: the samples' tables tell whether the box's size or its content is wrong
            self._notes.append("the film's media data are shorter than their box says")
        self._close(box)
        return None

    def _without_movie(self) -> NotAVideoError:
        if self._brand in STILL_BRANDS:
            return NotAVideoError("picture", "the file is a HEIF or AVIF image")
        return NotAVideoError("truncated", "there is no moov box: nothing describes the film")

    def _facts(self, movie: Movie, film_bytes: int) -> VideoFacts:
        """Check each track and tell of the first video that is no still."""
        video = self._video(movie)
        picture = video.picture()
        for track in movie.tracks:
            self._notes += track.tables.check(self._media)
        self._fragments.check(movie, self._media, film_bytes)
        added = self._fragments.of(video.id)
        if not video.tables.bytes + added.bytes:
            raise NotAVideoError("corrupt", "the video's samples are empty")
        if picture.is_odd:
            self._notes.append("the video's sample entry is odd")
        if self._samples(video) == 1:
            self._notes.append(ONE_PICTURE)
        width, height = picture.width, picture.height
        if movie.is_turned:
            width, height = height, width
        seconds = round(self._seconds(movie, video), 3)
        if not seconds:
            raise NotAVideoError("corrupt", "the film lasts no time")
        return VideoFacts(
            seconds, width, height, picture.codec, tuple(dict.fromkeys((*self._notes, *self._budget.notes)))
        )

    def _video(self, movie: Movie) -> Track:
        """The first video track that moves, or else that has a picture at all."""
        videos = [track for track in movie.tracks if track.handler == VIDEO]
        if not videos:
            raise NotAVideoError("no_video", "the film has sound only" if movie.tracks else "the film has no video")
        for least in (2, 1):
            for track in videos:
                if self._samples(track) >= least:
                    return track
        if movie.extension is not None:
            raise NotAVideoError("truncated", "none of the film's fragments came")
        raise NotAVideoError("corrupt", "the video track has no pictures")

    def _samples(self, track: Track) -> int:
        return track.tables.count + self._fragments.of(track.id).samples

    def _seconds(self, movie: Movie, video: Track) -> float:
        """The time for which the video is shown."""
        fragments, duration = self._fragments.of(video.id), video.duration
        if fragments.samples:
            duration = video.tables.duration + fragments.duration
        elif (shown := video.shown_duration()) and movie.timescale:
            return shown / movie.timescale
        if duration and video.timescale:
            return duration / video.timescale
        described = video.tables.duration / video.timescale if video.timescale else 0.0
        return movie.seconds or described

    def _is_proven_whole(self, movie: Movie) -> bool:
        """Whether the film itself shows that nothing is missing behind its end."""
        return movie.extension is None or self._fragments.is_proven_whole(movie)


def _too_large(kind: bytes) -> NotAVideoError:
    return NotAVideoError("unchecked", f"the film's {kind.decode()} box is over {MOST_KEPT_BYTES} bytes")
