"""Whether the bytes that flow by are a whole Matroska or WebM film with a video track [RFC 9559].

The film is one Segment. One that tells its size is whole when so many bytes
came. One of unknown size, as live recorders write it, ends with the file: it is
whole when its last Cluster ends with a whole element, unless it is shorter than
the length that it tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from worker.errors import NotAVideoError
from worker.video.bounds import Budget
from worker.video.ebml import LONGEST_HEADER, children, read_header, unsigned
from worker.video.facts import ONE_PICTURE, VideoFacts
from worker.video.film_type import MKV, WEBM, FilmType
from worker.video.matroska_tracks import NANOSECONDS, BlocksByTrack, Info, Track, read_tracks
from worker.video.trailing import Trailing

MOST_KEPT_BYTES = 4 * 1024**2

EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
BLOCK_GROUP, BLOCK, SIMPLE_BLOCK, BLOCK_DURATION, TIMESTAMP = 0xA0, 0xA1, 0xA3, 0x9B, 0xE7
DOC_TYPE = 0x4282
READ_VERSIONS = ((0x42F7, 1), (0x42F2, 4), (0x42F3, 8), (0x4285, 4))
"""The features that a reader must know (EBML, lengths of ids and sizes, Matroska), and the newest version of each."""

CONTAINERS = (SEGMENT, CLUSTER, BLOCK_GROUP)
TOP_LEVEL = (SEGMENT, 0x114D9B74, INFO, TRACKS, CLUSTER, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367)
"""Elements that end a Cluster of unknown size."""

BLOCK_HEADER_BYTES = 12
KEPT = {EBML: 4096, INFO: MOST_KEPT_BYTES, TRACKS: MOST_KEPT_BYTES, TIMESTAMP: 8, BLOCK_DURATION: 8}
"""Elements that are kept, and up to which size."""

CLUSTER_MARK = CLUSTER.to_bytes(4, "big")
SLACK_SECONDS = 0.1


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
        self._notes: list[str] = []
        self._info = Info()
        self._tracks: dict[int, Track] = {}
        self._blocks = BlocksByTrack()
        self._cluster_at = 0

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
                self._check_end()
            elif trailing.holds_film:
                raise NotAVideoError("corrupt", f"what stands after {trailing.start} bytes is no element of a film")
            else:
                self._notes.append(trailing.note)
            if self._segment is None:
                raise NotAVideoError("truncated", "there is no Segment: only the head of a film came")
            facts = self._facts()
            is_cut_short = trailing is not None and not trailing.is_harmless
            self._check_length(self._segment, is_end_certain=is_end_certain and not is_cut_short)
            return replace(facts, notes=tuple(self._notes))

    def _check_length(self, segment: _Open, *, is_end_certain: bool) -> None:
        """Raise where a film of unknown size is shorter than it tells, or might be cut and does not tell."""
        told = self._info.seconds
        came = max(self._blocks[number].end_seconds(track, self._info.scale) for number, track in self._tracks.items())
        if told and came + SLACK_SECONDS < told:
            is_odd = f"the film tells a length of {told:.1f} s, and lasts {came:.1f} s"
            if segment.is_unsized:
                raise NotAVideoError("truncated", is_odd)
            self._notes.append(is_odd)
        if segment.is_unsized and not told and not is_end_certain:
            raise NotAVideoError("truncated", "nothing tells that the film's last cluster is its last")

    def _check_end(self) -> None:
        """Raise unless the file ends between two elements and outside every element that tells its size."""
        self._leave_ended(self._position)
        is_between = not self._head and self._leaf is None
        if not is_between or any(container.end is not None for container in self._open):
            raise NotAVideoError("truncated", f"the file ends inside an element, after {self._position} bytes")

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
        if not self._blocks.numbers():
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
        if element in (EBML, SEGMENT) and self._segment is not None:
            raise NotAVideoError("corrupt", "there are two films in one file")
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
            self._blocks.add(leaf.kept, leaf.size, self._cluster_at)
        elif leaf.id == TIMESTAMP:
            self._cluster_at = unsigned(leaf.kept)
        elif leaf.id == BLOCK_DURATION:
            self._blocks.set_duration(unsigned(leaf.kept))
        elif leaf.id == INFO:
            self._info = Info.read(memoryview(leaf.kept), self._budget)
        elif leaf.id == TRACKS:
            self._tracks = {track.number: track for track in read_tracks(memoryview(leaf.kept), self._budget)}
        elif leaf.id == EBML:
            self._read_head(memoryview(leaf.kept))

    def _read_head(self, body: memoryview) -> None:
        """Take the document type; raises for another one, and for a version that players do not read yet."""
        head = {element: bytes(value) for element, value in children(body, self._budget)}
        self._doc_type = head.get(DOC_TYPE, b"").rstrip(b"\0").decode("latin-1")
        is_newer = any(unsigned(head.get(element, b"\1")) > newest for element, newest in READ_VERSIONS)
        if self._doc_type not in ("webm", "matroska") or is_newer:
            raise NotAVideoError("unchecked", "the file is EBML, but no WebM or Matroska of a known version")

    def _facts(self) -> VideoFacts:
        """The facts, without notes; raises unless each block has its track and the video has pictures."""
        if self._blocks.numbers() - self._tracks.keys():
            raise NotAVideoError("corrupt", "a block belongs to no track of the film")
        video = self._video()
        if not (video.width and video.height):
            raise NotAVideoError("corrupt", "the video's pictures have no size")
        blocks = self._blocks[video.number]
        if not blocks.bytes:
            raise NotAVideoError("corrupt", "the video's blocks are empty")
        ends_at = blocks.end_seconds(video, self._info.scale)
        if self._info.seconds:
            ends_at = min(ends_at, self._info.seconds)
        seconds = max(0.0, ends_at - blocks.first_at * self._info.scale / NANOSECONDS)
        if blocks.count == 1:
            self._notes.append(ONE_PICTURE)
        return VideoFacts(round(seconds, 3), video.width, video.height, video.codec)

    def _video(self) -> Track:
        """The first video track that moves, or else that has a picture at all."""
        videos = [track for track in self._tracks.values() if track.is_video]
        if not videos:
            raise NotAVideoError("no_video", "the film has sound only" if self._tracks else "the film has no video")
        for least in (2, 1):
            for track in videos:
                if self._blocks[track.number].count >= least:
                    return track
        raise NotAVideoError("truncated", "none of the video's clusters came")
