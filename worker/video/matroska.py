"""Whether the bytes that flow by are a whole Matroska or WebM film with a video track [RFC 9559].

The film is one Segment. One that tells its size is whole when so many bytes
came. One of unknown size, as live recorders write it, ends with the file: it is
whole when its last Cluster ends with a whole element, unless it is shorter than
the length that it tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.ebml import LONGEST_HEADER, children, read_header, read_number, real, unsigned
from worker.video.facts import VideoFacts
from worker.video.film_type import MKV, WEBM, FilmType
from worker.video.trailing import Trailing

MOST_KEPT_BYTES = 4 * 1024**2
MOST_TRACKS = 64
NANOSECONDS = 1e9

EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
BLOCK_GROUP, BLOCK, SIMPLE_BLOCK, BLOCK_DURATION, TIMESTAMP = 0xA0, 0xA1, 0xA3, 0x9B, 0xE7
DOC_TYPE, TIMESTAMP_SCALE, DURATION = 0x4282, 0x2AD7B1, 0x4489
TRACK_ENTRY, TRACK_NUMBER, TRACK_TYPE, CODEC_ID, DEFAULT_DURATION = 0xAE, 0xD7, 0x83, 0x86, 0x23E383
VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT, PROJECTION, POSE_ROLL = 0xE0, 0xB0, 0xBA, 0x7670, 0x7675
VIDEO_TYPE = 1

CONTAINERS = (SEGMENT, CLUSTER, BLOCK_GROUP)
TOP_LEVEL = (SEGMENT, 0x114D9B74, INFO, TRACKS, CLUSTER, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367)
"""Elements that end a Cluster of unknown size."""

BLOCK_HEADER_BYTES = 12
KEPT = {EBML: 4096, INFO: MOST_KEPT_BYTES, TRACKS: MOST_KEPT_BYTES, TIMESTAMP: 8, BLOCK_DURATION: 8}
"""Elements that are kept, and up to which size."""

CLUSTER_MARK = CLUSTER.to_bytes(4, "big")
SLACK_SECONDS = 0.1


@dataclass
class _Track:
    """One track: what its entry says, and what its blocks add. Instants are in units of the timestamp scale."""

    is_video: bool = False
    codec: str = ""
    width: int = 0
    height: int = 0
    frame_seconds: float = 0.0


@dataclass
class _Blocks:
    """The blocks of one track."""

    count: int = 0
    bytes: int = 0
    first_at: int = 0
    last_at: int = 0
    ends_at: int = 0


@dataclass
class _Open:
    """A container that has begun. `end` is None where only the end of the file ends it."""

    id: int
    end: int | None
    is_unsized: bool


@dataclass
class _Leaf:
    """The element whose body is flowing by, and its first bytes as far as they are wanted."""

    id: int
    size: int
    left: int
    wanted: int
    kept: bytearray = field(default_factory=bytearray)


class MatroskaWalk:
    """One pass over one file; memory stays below `MOST_KEPT_BYTES` and a little."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._position = 0
        self._head = b""
        self._open: list[_Open] = []
        self._leaf: _Leaf | None = None
        self._trailing: Trailing | None = None
        self._doc_type = ""
        self._segment: _Open | None = None
        self._scale, self._told = 1_000_000, 0.0
        self._tracks: dict[int, _Track] = {}
        self._blocks: dict[int, _Blocks] = {}
        self._cluster_at = 0
        self._last_block: tuple[int, int] = (0, 0)

    @property
    def film_type(self) -> FilmType:
        """WebM or another Matroska, by the file's own word; known once its first element has been read."""
        return WEBM if self._doc_type == "webm" else MKV

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; raises `NotAVideoError` as soon as they cannot belong to a film."""
        view = memoryview(data)
        with self._budget:
            while view:
                if self._trailing is not None:
                    self._trailing.take(view)
                    taken = len(view)
                elif self._leaf is None:
                    taken = self._take_header(view)
                else:
                    taken = self._take_body(self._leaf, view)
                self._position += taken
                view = view[taken:]
                if self._leaf is not None and self._leaf.left == 0:
                    self._close(self._leaf)

    def finish(self, *, is_end_certain: bool = True) -> VideoFacts:
        """Judge the whole, as `Mp4Walk.finish` does."""
        with self._budget:
            trailing = self._trailing
            if trailing is None:
                self._leave_ended(self._position)
                is_between = not self._head and self._leaf is None
                if not is_between or any(container.end is not None for container in self._open):
                    raise NotAVideoError("truncated", f"the file ends inside an element, after {self._position} bytes")
            elif trailing.holds_film:
                raise NotAVideoError("corrupt", f"what stands after {trailing.start} bytes is no element of a film")
            if self._segment is None:
                raise NotAVideoError("truncated", "there is no Segment: only the head of a film came")
            facts, is_told = self._facts(trailing)
            is_cut_short = trailing is not None and not trailing.is_harmless
            if (is_cut_short or not is_end_certain) and self._segment.is_unsized and not is_told:
                raise NotAVideoError("truncated", "nothing tells that the film's last cluster is its last")
            return facts

    def _take_header(self, view: memoryview) -> int:
        begun = len(self._head)
        seen = self._head + bytes(view[:LONGEST_HEADER])
        header_at = self._position - begun
        self._leave_ended(header_at)
        if self._segment is not None and not self._open:
            return self._begin_trailing(header_at)
        try:
            header = read_header(seen)
        except ValueError:
            return self._begin_trailing(header_at)
        if header is None:
            self._head = seen
            return len(view)
        self._head = b""
        element, size, length = header
        self._begin(element, size, header_at + length)
        return length - begun

    def _leave_ended(self, at: int) -> None:
        """Leave the containers that end *at* this place."""
        while self._open and self._open[-1].end == at:
            self._open.pop()

    def _begin_trailing(self, at: int) -> int:
        """Take all from *at* on as no part of the film; takes no bytes itself."""
        if not self._blocks:
            raise NotAVideoError("corrupt", f"what stands after {at} bytes is no element")
        if any(container.end is not None for container in self._open):
            raise NotAVideoError("corrupt", f"what stands after {at} bytes is no element")
        self._trailing, self._head = Trailing(at, self._head, (CLUSTER_MARK,)), b""
        return 0

    def _begin(self, element: int, size: int | None, body_at: int) -> None:
        """Begin an element that the header told."""
        self._budget.take_box()
        if element in TOP_LEVEL and self._open and self._open[-1].id == CLUSTER and self._open[-1].is_unsized:
            self._open.pop()
        bound = self._open[-1].end if self._open else None
        end = bound if size is None else body_at + size
        if end is not None and bound is not None and end > bound:
            raise NotAVideoError("corrupt", "an element does not fit in the one around it")
        if not self._doc_type and element != EBML:
            raise NotAVideoError("corrupt", "the file does not begin with an EBML header")
        if element in CONTAINERS:
            container = _Open(element, end, size is None)
            self._open.append(container)
            if element == SEGMENT:
                self._segment = container
            return
        if size is None:
            raise NotAVideoError("corrupt", "an element that must tell its size does not")
        is_block = element in (BLOCK, SIMPLE_BLOCK)
        wanted = BLOCK_HEADER_BYTES if is_block else size if element in KEPT else 0
        if not is_block and wanted > KEPT.get(element, 0):
            raise NotAVideoError("unchecked", f"an element that describes the film is over {KEPT[element]} bytes")
        self._leaf = _Leaf(element, size, size, wanted)

    def _take_body(self, leaf: _Leaf, view: memoryview) -> int:
        taken = min(leaf.left, len(view))
        leaf.left -= taken
        if len(leaf.kept) < leaf.wanted:
            leaf.kept += view[: min(taken, leaf.wanted - len(leaf.kept))]
        return taken

    def _close(self, leaf: _Leaf) -> None:
        """The element has ended: learn from it."""
        self._leaf = None
        if leaf.id in (BLOCK, SIMPLE_BLOCK):
            self._add_block(leaf)
        elif leaf.id == TIMESTAMP:
            self._cluster_at = unsigned(leaf.kept)
        elif leaf.id == BLOCK_DURATION and self._last_block[0] in self._blocks:
            number, at = self._last_block
            blocks = self._blocks[number]
            blocks.ends_at = max(blocks.ends_at, at + unsigned(leaf.kept))
        elif leaf.id == INFO:
            self._read_info(memoryview(leaf.kept))
        elif leaf.id == TRACKS:
            self._read_tracks(memoryview(leaf.kept))
        elif leaf.id == EBML:
            self._read_head(memoryview(leaf.kept))

    def _add_block(self, leaf: _Leaf) -> None:
        """Count a frame, or some that are laced together [RFC 9559 10]."""
        try:
            number, length = read_number(leaf.kept)
        except ValueError:
            number, length = 0, 0
        if len(leaf.kept) < length + 3 or not length:
            raise NotAVideoError("corrupt", "a block is shorter than its head")
        at = self._cluster_at + int.from_bytes(leaf.kept[length : length + 2], "big", signed=True)
        blocks = self._blocks.get(number)
        if blocks is None:
            if len(self._blocks) == MOST_TRACKS:
                raise NotAVideoError("unchecked", f"there are more than {MOST_TRACKS} tracks")
            blocks = self._blocks[number] = _Blocks(first_at=at, last_at=at, ends_at=at)
        blocks.count += 1
        blocks.bytes += leaf.size - length - 3
        blocks.first_at = min(blocks.first_at, at)
        blocks.last_at = max(blocks.last_at, at)
        self._last_block = number, at

    def _read_head(self, body: memoryview) -> None:
        doc_type = next((bytes(value) for element, value in children(body, self._budget) if element == DOC_TYPE), b"")
        self._doc_type = doc_type.rstrip(b"\0").decode("latin-1")
        if self._doc_type not in ("webm", "matroska"):
            raise NotAVideoError("unchecked", "the file is EBML, but neither WebM nor Matroska")

    def _read_info(self, body: memoryview) -> None:
        for element, value in children(body, self._budget):
            if element == TIMESTAMP_SCALE:
                self._scale = unsigned(value)
            elif element == DURATION:
                self._told = real(value)

    def _read_tracks(self, body: memoryview) -> None:
        for element, entry in children(body, self._budget):
            if element != TRACK_ENTRY:
                continue
            number, track = 0, _Track()
            for inner, value in children(entry, self._budget):
                if inner == TRACK_NUMBER:
                    number = unsigned(value)
                elif inner == TRACK_TYPE:
                    track.is_video = unsigned(value) == VIDEO_TYPE
                elif inner == CODEC_ID:
                    track.codec = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in value[:40])
                elif inner == DEFAULT_DURATION:
                    track.frame_seconds = unsigned(value) / NANOSECONDS
                elif inner == VIDEO:
                    self._read_picture(value, track)
            self._tracks[number] = track

    def _read_picture(self, body: memoryview, track: _Track) -> None:
        """Take the size of a track's pictures, turned as its projection says."""
        roll = 0.0
        for element, value in children(body, self._budget):
            if element == PIXEL_WIDTH:
                track.width = unsigned(value)
            elif element == PIXEL_HEIGHT:
                track.height = unsigned(value)
            elif element == PROJECTION:
                roll = next((real(inner) for found, inner in children(value, self._budget) if found == POSE_ROLL), 0.0)
        if math.isfinite(roll) and round(roll / 90) % 2:
            track.width, track.height = track.height, track.width

    def _facts(self, trailing: Trailing | None) -> tuple[VideoFacts, bool]:
        """The facts, and whether the film is as long as it tells; raises unless it is whole."""
        if self._blocks.keys() - self._tracks.keys():
            raise NotAVideoError("corrupt", "a block belongs to no track of the film")
        number, video = self._video()
        if not (video.width and video.height):
            raise NotAVideoError("corrupt", "the video's pictures have no size")
        if not self._blocks[number].bytes:
            raise NotAVideoError("corrupt", "the video's blocks are empty")
        told = self._told * self._scale / NANOSECONDS
        came = max(self._seconds(number) for number in self._blocks)
        is_told = math.isfinite(told) and told > 0
        if is_told and came + SLACK_SECONDS < told:
            raise NotAVideoError("truncated", f"the film tells a length of {told:.1f} s, {came:.1f} s came")
        notes = []
        if trailing is not None:
            notes.append(f"{trailing.bytes} bytes behind the film are no part of it")
        if self._blocks[number].count == 1:
            notes.append("the video is one single picture")
        seconds = min(self._seconds(number), told) if is_told else self._seconds(number)
        return VideoFacts(round(seconds, 3), video.width, video.height, video.codec, tuple(notes)), is_told

    def _video(self) -> tuple[int, _Track]:
        """The first video track that moves, or else that has a picture at all, and its number."""
        videos = [(number, track) for number, track in self._tracks.items() if track.is_video]
        if not videos:
            raise NotAVideoError("no_video", "the film has sound only" if self._tracks else "the film has no video")
        for least in (2, 1):
            for number, track in videos:
                if number in self._blocks and self._blocks[number].count >= least:
                    return number, track
        raise NotAVideoError("truncated", "none of the video's clusters came")

    def _seconds(self, number: int) -> float:
        """When the last frame of a track ends; where nothing tells how long it lasts, it lasts as the others do."""
        blocks, frame = self._blocks[number], self._tracks[number].frame_seconds
        if not frame and blocks.count > 1:
            frame = (blocks.last_at - blocks.first_at) / (blocks.count - 1) * self._scale / NANOSECONDS
        return max(blocks.ends_at * self._scale / NANOSECONDS, blocks.last_at * self._scale / NANOSECONDS + frame)
