"""Trouble on command: rules, what each may do, and which call each one hits.

A rule names the kind of moment it acts on (`on`), whom it hits (`match`), how
often (`times`) and what then happens. The first rule in the book that matches
a call is used and counted; used up, it leaves. `README.md` has the table.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from deploy.sandbox.answers import Answer, Sending, html_answer, json_answer
from deploy.sandbox.generations import Asked, Fate, Generation, Outcome
from deploy.sandbox.signing import Kind

Seconds = Annotated[float, Field(ge=0, le=30 * 24 * 3600)]
Copies = Annotated[int, Field(ge=0, le=50)]
Status = Annotated[int, Field(ge=200, le=599)]
Provider = Literal["gmicloud", "evolink", "apimart", "kling", "fal", "replicate"]
ErrorBody = Callable[[int], Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Match(_Strict):
    """Whom a rule hits; every given condition must hold, none given: everyone."""

    provider: Provider | None = None
    model: str | None = None
    request_id: str | None = None
    contains: str | None = Field(default=None, min_length=1)  # anywhere in the submitted body: a prompt, a URL


class _Rule(_Strict):
    match: Match = Match()
    times: Annotated[int, Field(ge=1)] | None = 1  # None: until reset


class _Spoiling(_Rule):
    """The faults of an answer. The first five replace the answer, the others spoil its sending."""

    status: Status | None = None
    retry_after: Annotated[int, Field(ge=0)] | None = None
    html: bool = False
    redirect_to: str | None = None
    body: Any = None
    half: bool = False
    cut: bool = False
    slow_seconds: Seconds = 0

    @property
    def replaces(self) -> bool:
        given = (self.status, self.retry_after, self.redirect_to, self.body)
        return self.html or any(value is not None for value in given)

    @property
    def sending(self) -> Sending:
        return Sending(delay_seconds=self.slow_seconds, cut=self.cut, half=self.half)

    def answer(self, error_body: ErrorBody) -> Answer:
        """The answer that stands in for the real one; *error_body* words an error status as the provider would."""
        if self.redirect_to is not None:
            return Answer(self.status or 302, headers={"Location": self.redirect_to})
        if self.html:
            return html_answer(self.status or 502)
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        status = self.status or (200 if self.body is not None else 429)
        return json_answer(status, error_body(status) if self.body is None else self.body, headers=headers)


class SubmitRule(_Spoiling):
    """`created` says whether the generation exists all the same; without it: only where the answer is not replaced.

    `honours_key`: the same `Idempotency-Key` with the same body is answered by the request that there is.
    """

    on: Literal["submit"]
    created: bool | None = None
    honours_key: bool = False

    @property
    def creates(self) -> bool:
        return self.created if self.created is not None else not (self.replaces or self.cut)


class PollRule(_Spoiling):
    """For single polls (`poll`), the list call (`list`), the call for a result alone or the one that cancels."""

    on: Literal["poll", "list", "result", "cancel"]
    not_found_seconds: Seconds | None = None  # as long as the generation is younger
    status_word: str | None = None


class GenerationRule(_Rule):
    """Decides at submit what becomes of the generation."""

    on: Literal["generation"]
    seconds: Seconds | None = None
    outcome: Literal["completed", "failed", "cancelled"] = "completed"
    code: str | None = None
    message: str | None = None
    videos: Annotated[int, Field(ge=0, le=20)] = 1

    def fate(self, usual_seconds: float) -> Fate:
        given = {name: value for name in ("code", "message") if (value := getattr(self, name)) is not None}
        seconds = usual_seconds if self.seconds is None else self.seconds
        return Fate(seconds, Outcome(self.outcome), videos=self.videos, **given)


class CallbackRule(_Rule):
    """Decides at submit how its callback goes out."""

    on: Literal["callback"]
    lost: bool = False
    early: bool = False
    late_seconds: Seconds = 0
    duplicates: Copies = 0
    concurrent: Annotated[int, Field(ge=1, le=50)] = 1
    reordered: bool = False
    signature: Kind = "true"  # of a provider that signs
    forged: list[Literal["wrong_id", "wrong_token", "contradiction"]] = []


class DownloadRule(_Spoiling):
    """For downloads of a video."""

    on: Literal["download"]
    bytes_per_second: Annotated[int, Field(ge=1)] | None = None
    truncated: Literal["connection", "file"] | None = None
    endless: bool = False
    without_length: bool = False
    without_close_notify: bool = False
    gzip: bool = False
    dead: bool = False

    @property
    def sending(self) -> Sending:
        return Sending(
            delay_seconds=self.slow_seconds,
            cut=self.cut,
            half=self.half or self.truncated == "connection",
            bytes_per_second=self.bytes_per_second,
            endless=self.endless,
            without_length=self.without_length,
            without_close_notify=self.without_close_notify,
        )


Rule = SubmitRule | PollRule | GenerationRule | CallbackRule | DownloadRule
R = TypeVar("R", bound=Rule)
RULES: TypeAdapter[list[Rule]] = TypeAdapter(list[Annotated[Rule, Field(discriminator="on")]])


@dataclass(frozen=True)
class Subject:
    """The call that a rule is matched against."""

    provider: str
    model: str | None = None
    request_id: str | None = None
    body: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, generation: Generation) -> Subject:
        asked = generation.asked
        return cls(generation.provider, asked.model, generation.request_id, asked.body)

    @classmethod
    def asking(cls, provider: str, asked: Asked) -> Subject:
        return cls(provider, asked.model, None, asked.body)


def _hits(match: Match, subject: Subject) -> bool:
    return (
        match.provider in (None, subject.provider)
        and match.model in (None, subject.model)
        and match.request_id in (None, subject.request_id)
        and (match.contains is None or _contains(subject.body, match.contains))
    )


def _contains(body: Any, words: str) -> bool:
    """Whether any text in *body*, however deep, has *words* in it."""
    left = [body]
    while left:
        value = left.pop()
        if isinstance(value, str) and words in value:
            return True
        if isinstance(value, Mapping):
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False


@dataclass
class _Held:
    number: int
    rule: Rule
    left: int | None


class RuleBook:
    """The rules in force, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._held: list[_Held] = []

    def add(self, rules: list[Rule]) -> list[int]:
        """Put *rules* behind those in force; returns their numbers."""
        with self._lock:
            fresh = [_Held(next(self._numbers), rule, rule.times) for rule in rules]
            self._held += fresh
        return [held.number for held in fresh]

    def take(self, kind: type[R], on: str, subject: Subject) -> R | None:
        """Use the first rule of *kind* for *on* that hits *subject*, counting the use."""
        if not self._held:
            return None
        with self._lock:
            for held in self._held:
                if held.rule.on == on and isinstance(held.rule, kind) and _hits(held.rule.match, subject):
                    self._use(held)
                    return held.rule
        return None

    def _use(self, held: _Held) -> None:
        if held.left is not None:
            held.left -= 1
            if held.left == 0:
                self._held.remove(held)

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{"rule": held.number, "left": held.left, **held.rule.model_dump()} for held in self._held]

    def clear(self) -> None:
        with self._lock:
            self._held.clear()
