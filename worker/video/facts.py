"""Facts of a checked film."""

from __future__ import annotations

from dataclasses import dataclass

ONE_PICTURE = "the video is one single picture"


@dataclass(frozen=True)
class VideoFacts:
    """The facts that a file tells of its first video track that is no still.

    `width` and `height` are pixels as shown, rotation applied. `codec` is the sample entry's code, such as
    `avc1`, or Matroska's codec id, such as `V_VP9`. `notes` say what is odd about a film that is whole all the
    same, one plain sentence each.
    """

    seconds: float
    width: int
    height: int
    codec: str
    notes: tuple[str, ...] = ()
