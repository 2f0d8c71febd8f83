"""Objects that are videos: their keys, and the facts of a film in an object's own metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.errors import BucketError
from worker.video.facts import VideoFacts
from worker.video.film_type import FILM_TYPES, FilmType
from worker.video.verified_stream import Content

SUFFIXES = {film_type.suffix: film_type for film_type in FILM_TYPES}
VIDEO_KEY = re.compile(
    r".*/(?P<job_id>[A-Za-z0-9_-]{{1,64}})/\d+-\d+(?:\.(?:{}))?".format("|".join(SUFFIXES)), re.DOTALL
)


def with_suffix(key: str, film_type: FilmType) -> str:
    return f"{key.rpartition('.')[0]}.{film_type.suffix}"


def film_type_of(key: str) -> FilmType:
    return SUFFIXES.get(key.rpartition(".")[2], FILM_TYPES[0])


def owner(key: str) -> str:
    """The job that a video's key belongs to."""
    found = VIDEO_KEY.fullmatch(key)
    if found is None:
        raise BucketError("refused", "only `video_key` makes keys of videos")
    return found["job_id"]


def metadata_of(key: str, content: Content) -> dict[str, str]:
    facts = content.facts
    return {
        "job-id": owner(key),
        "sha256": content.sha256,
        "seconds": str(facts.seconds),
        "width": str(facts.width),
        "height": str(facts.height),
    }


def from_metadata(said: Mapping[str, str], length: int, film_type: FilmType) -> Content | None:
    """The facts that stand in an object's metadata; None for one that was sent in parts."""
    try:
        facts = VideoFacts(float(said["seconds"]), int(said["width"]), int(said["height"]), "")
        return Content(length, said["sha256"], facts, film_type)
    except (KeyError, ValueError):
        return None
