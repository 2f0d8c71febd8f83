"""The containers of film that are checked, and under which content type and suffix each is archived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FilmType:
    """One container of film."""

    name: str
    content_type: str
    suffix: str


MP4 = FilmType("mp4", "video/mp4", "mp4")
MOV = FilmType("mov", "video/quicktime", "mov")
WEBM = FilmType("webm", "video/webm", "webm")
MKV = FilmType("mkv", "video/matroska", "mkv")

FILM_TYPES = (MP4, MOV, WEBM, MKV)
"""All of them, the usual one first."""
