"""The generations that were asked for, and how far each is by the sandbox's clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LINK_SECONDS = 24 * 3600
"""The life of a video's link, from the moment the video was finished."""


class Outcome(StrEnum):
    """The ends of a generation."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """The phases of a generation; each provider has its own words for them."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Asked:
    """A valid order, in one form for all providers."""

    model: str
    body: Mapping[str, Any]  # as submitted
    video_seconds: int
    width: int
    height: int
    resolution: str
    callback_url: str | None = None
    external_id: str = ""  # the caller's own name for it


@dataclass(frozen=True)
class Fate:
    """The planned end of a generation."""

    seconds: float
    outcome: Outcome = Outcome.COMPLETED
    code: str = "generation_failed"
    message: str = "The generation failed."
    videos: int = 1


@dataclass(frozen=True, eq=False)
class Generation:
    """One accepted request. Instants are Unix seconds on the sandbox's clock."""

    request_id: str
    number: int  # counts up over the sandbox's life; seeds the videos
    provider: str
    asked: Asked
    fate: Fate
    created_at: float
    base_url: str
    tokens: tuple[str, ...]  # one unguessable name per video
    stored_bytes: int
    link_seconds: float = LINK_SECONDS

    @property
    def finishes_at(self) -> float:
        return self.created_at + self.fate.seconds

    @property
    def links_die_at(self) -> float:
        return self.finishes_at + self.link_seconds

    @property
    def links(self) -> list[str]:
        return [f"{self.base_url}/media/{token}.mp4" for token in self.tokens]

    def phase(self, now: float) -> Phase:
        if now >= self.finishes_at:
            return Phase(self.fate.outcome.value)
        done = self.progress(now)
        return Phase.WAITING if done < 15 else Phase.STARTING if done < 30 else Phase.RUNNING

    def progress(self, now: float) -> int:
        """Percent of the time that has passed, 100 only at the end."""
        if now >= self.finishes_at:
            return 100
        if now <= self.created_at:
            return 0
        return min(99, int(100 * (now - self.created_at) / self.fate.seconds))


class Generations:
    """All that were accepted, newest last, bounded in number and bytes: the oldest are forgotten first."""

    def __init__(self, *, most: int = 100_000, most_bytes: int = 256 * 1024 * 1024) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Generation] = {}
        self._by_token: dict[str, tuple[Generation, int]] = {}
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def add(self, generation: Generation) -> None:
        with self._lock:
            self._by_id[generation.request_id] = generation
            for index, token in enumerate(generation.tokens):
                self._by_token[token] = (generation, index)
            self._bytes += generation.stored_bytes
            while len(self._by_id) > self._most or (self._bytes > self._most_bytes and len(self._by_id) > 1):
                self._forget_oldest()

    def swap(self, generation: Generation) -> None:
        """Put *generation* in the place of the one with its id."""
        with self._lock:
            self._by_id[generation.request_id] = generation
            self._by_token |= {token: (generation, index) for index, token in enumerate(generation.tokens)}

    def _forget_oldest(self) -> None:
        oldest = self._by_id.pop(next(iter(self._by_id)))
        self._bytes -= oldest.stored_bytes
        for token in oldest.tokens:
            del self._by_token[token]

    def find(self, provider: str, request_id: str) -> Generation | None:
        generation = self._by_id.get(request_id)
        return generation if generation and generation.provider == provider else None

    def by_id(self, request_id: str) -> Generation | None:
        return self._by_id.get(request_id)

    def by_token(self, token: str) -> tuple[Generation, int] | None:
        """The generation and the index of the video that *token* names."""
        return self._by_token.get(token)

    def newest_first(self) -> Iterator[Generation]:
        with self._lock:
            held = list(self._by_id.values())
        return reversed(held)

    def clear(self) -> None:
        with self._lock:
            self._by_id.clear()
            self._by_token.clear()
            self._bytes = 0
