"""The storyboard: several shots in one video, written into the prompt as Kling 3.0 Turbo reads it.

    Shot 1, 2, a door opens; Shot 2, 3, rain on the window;

The grammar is https://kling.ai/document-api/api/video/3-0-turbo/image-to-video ;
only the marker word differs between providers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

MAX_SHOTS = 6
WORDS_CHARACTERS = 512


class AnyShot(Protocol):
    """One shot: whole seconds, and what is seen."""

    @property
    def seconds(self) -> int: ...
    @property
    def prompt(self) -> str: ...


def check_words(words: str) -> str:
    """*words* of one shot, as they are; raises `ValueError` for what would end the shot early."""
    if ";" in words:
        raise ValueError("must not hold ';': it ends a shot")
    if "\n" in words or "\r" in words:
        raise ValueError("must be one line")
    return words


def render(shots: Iterable[AnyShot], marker: str) -> str:
    """*shots* as prompt text, numbered from 1 without gaps."""
    return " ".join(f"{marker} {n}, {shot.seconds}, {shot.prompt};" for n, shot in enumerate(shots, 1))
