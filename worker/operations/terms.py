"""Search terms: the line that people type for a list, such as `state:failed provider:evolink metadata.order:1007`.

A value with spaces stands in double quotes. A bare word is a job id. All terms must hold; `state:` takes several
states with commas between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from worker.errors import CallsheetError
from worker.guard.text import printable
from worker.jobs.durations import parse_span
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import is_job_id
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.search import Filter

LONGEST = 2000
FLAGS = ("open", "closed", "stuck", "differs", "dead-notification")
MEANINGS = {
    "state": "where it stands; several with commas",
    "provider": "who makes the video",
    "model": "the provider's own name of the model",
    "tenant": "for whom",
    "code": "why it failed",
    "waits": "what it waits for",
    "id": "the job with this id",
    "request": "the job with this request id of a provider",
    "since": "accepted no longer ago: 2h, 7d, or an instant",
    "until": "accepted at least so long ago",
    "is": "open, closed, stuck, differs or dead-notification",
    "metadata.": "a field of the caller's metadata",
}
"""Each term's name, in a few words."""


class TermsError(CallsheetError):
    """The line cannot be read. *problems* names each term that cannot."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Terms:
    """A line as it is searched for. *job_id* and *request_id* name one job, and then nothing else matters."""

    wanted: Filter = field(default_factory=Filter)
    job_id: str = ""
    request_id: str = ""


def read(line: str, now: int) -> Terms:
    """The terms of *line*; *now* is Unix ms. Raises `TermsError` with every problem at once."""
    if len(line) > LONGEST:
        raise TermsError((f"the search is longer than {LONGEST} characters",))
    found, problems = _Read(now), []
    for term in split(line):
        try:
            found.take(term)
        except ValueError as err:
            problems.append(str(err))
    if problems:
        raise TermsError(tuple(problems))
    return found.terms


def split(line: str) -> Iterator[str]:
    """The terms of *line*: at spaces, but for those between double quotes, which are left out."""
    term, is_quoted = "", False
    for char in line:
        if char == '"':
            is_quoted = not is_quoted
        elif char.isspace() and not is_quoted:
            if term:
                yield term
            term = ""
        else:
            term += char
    if term:
        yield term


def with_term(line: str, name: str, value: str) -> str:
    """*line* with the term *name* set to *value*, or without it where *value* is empty."""
    kept = [_quoted(term) for term in split(line) if not term.startswith(f"{name}:")]
    return " ".join([*kept, *([_quoted(f"{name}:{value}")] if value else [])])


def suggestions(providers: dict[str, list[str]]) -> dict[str, list[str]]:
    """The values that are known beforehand of each term; *providers*: the configured ones with their models."""
    return {
        "state:": [str(state) for state in JobState],
        "provider:": list(providers),
        "model:": sorted({model for models in providers.values() for model in models}),
        "tenant:": [],
        "code:": sorted(ErrorCode),
        "waits:": [str(code) for code in WaitCode],
        "is:": list(FLAGS),
        "since:": ["1h", "24h", "7d"],
        "until:": ["1h", "24h", "7d"],
        "id:": [],
        "request:": [],
        "metadata.": [],
    }


def _quoted(term: str) -> str:
    return f'"{term}"' if any(char.isspace() for char in term) else term


class _Read:
    """Terms as they are read, one after the other."""

    def __init__(self, now: int) -> None:
        self.terms = Terms()
        self._now = now

    def take(self, term: str) -> None:
        name, colon, value = term.partition(":")
        if not colon:
            self._of_id(term)
        elif not value:
            raise ValueError(f"{printable(name)}: has no value")
        elif name.startswith("metadata.") and len(name) > len("metadata."):
            pair = (name.removeprefix("metadata."), value)
            self._want(metadata=(*self.terms.wanted.metadata, pair))
        elif name in _READERS:
            _READERS[name](self, value)
        else:
            known = ", ".join(f"{known}:" if not known.endswith(".") else known for known in MEANINGS)
            raise ValueError(f"{printable(name)[:40]}: is no term; there are {known}")

    def _want(self, **fields: Any) -> None:
        self.terms = replace(self.terms, wanted=replace(self.terms.wanted, **fields))

    def _of_id(self, value: str) -> None:
        if not is_job_id(value):
            raise ValueError(f"{printable(value)[:40]}: a job id is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'")
        self.terms = replace(self.terms, job_id=value)

    def _of_request(self, value: str) -> None:
        self.terms = replace(self.terms, request_id=value)

    def _of_states(self, value: str) -> None:
        words = [word for word in value.split(",") if word]
        if set(words) - set(JobState):
            raise ValueError(f"state: must be of {', '.join(JobState)}")
        self._want(states=frozenset(map(JobState, words)))

    def _of_waits(self, value: str) -> None:
        if value not in set(WaitCode):
            raise ValueError(f"waits: must be one of {', '.join(WaitCode)}")
        self._want(waits_for=WaitCode(value))

    def _of_flag(self, value: str) -> None:
        if value not in FLAGS:
            raise ValueError(f"is: must be one of {', '.join(FLAGS)}")
        if value in ("open", "closed"):
            self._want(is_open=value == "open")
        else:
            self._want(**{value.replace("-", "_"): True})

    def instant(self, name: str, value: str) -> int:
        """Unix ms of a span before now, or of an instant with its offset."""
        try:
            return max(0, self._now - parse_span(value) * 1000)
        except ValueError:
            pass
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None:
                return max(0, int(at.timestamp() * 1000))
        except (ValueError, OverflowError):
            pass
        raise ValueError(f"{name}: must be such as 90s, 15m, 2h or 7d, or an instant with its offset")


def _text(name: str) -> Callable[[_Read, str], None]:
    return lambda read, value: read._want(**{name: value})


def _instant(name: str) -> Callable[[_Read, str], None]:
    return lambda read, value: read._want(**{name: read.instant(name, value)})


_READERS: dict[str, Callable[[_Read, str], None]] = {
    "state": _Read._of_states,
    "provider": _text("provider"),
    "model": _text("model"),
    "tenant": _text("tenant"),
    "code": _text("error_code"),
    "waits": _Read._of_waits,
    "id": _Read._of_id,
    "request": _Read._of_request,
    "since": _instant("since"),
    "until": _instant("until"),
    "is": _Read._of_flag,
}
