"""The store's answers: one frozen value per kind of question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worker.jobs.job import Job
from worker.jobs.rate_limits import Refusal
from worker.jobs.states import JobState, MovePath

Word = Literal[
    "applied", "repeat", "late", "missing", "taken", "paid", "gone", "full", "asking", "unknown", "busy", "conflict"
]
"""The words of a `Reply`, explained there."""
ArrivalWord = Literal["stored", "noted", "unread", "repeat", "late", "missing", "mismatch", "full"]
"""The words of an `Arrival`, explained there."""


@dataclass(frozen=True)
class Reply:
    """The outcome of a write. `word` is one of

    applied   it took effect
    repeat    it had taken effect before; facts were kept
    late      the job has moved on (or the attempt, try or lease is no longer current); facts were kept
    missing   there is no such record
    taken     (bind only) the request id belongs to another job, or to another attempt of this one
    paid      (try_again only) an attempt may have been paid for
    gone      (recall only) the callback is not kept
    full      (recall only) there is no room for another candidate
    asking    (try_again only) a callback has yet to be looked at
    unknown   (cancel only) S3 did not tell whether it was sent: nothing was done
    busy      (begin only) there is no room at the provider, or it is not the job's turn: see `refusal`
    conflict  (accept only) the job id belongs to another spec; the first job is untouched
    """

    word: Word
    job: Job | None  # the record as it is now
    due_now: bool = False  # applied, and somebody should look at once (after `bind`: a callback came early)
    is_probe: bool = False  # (begin only) the one POST that an open breaker lets through
    refusal: Refusal | None = None
    has_money_moved: bool = False  # the caps count something else of it than before

    @property
    def applied(self) -> bool:
        return self.word == "applied"

    @property
    def holds(self) -> bool:
        """Whether it has taken effect, now or before."""
        return self.word == "applied" or self.word == "repeat"


@dataclass(frozen=True)
class Claim:
    """The right to act on one job until the lease ends. Facts may be reported without it."""

    job: Job
    token: str
    now: int  # the server's clock when it was granted, Unix ms
    ends_monotonic: float  # local monotonic seconds; counted from before the claim was asked for
    events: int = 0  # callbacks kept and not denied, when it was granted
    candidates: int = 0  # request ids that only callbacks have named, when it was granted

    def room_seconds(self, monotonic: float) -> float:
        """Seconds left in which acting is allowed."""
        return self.ends_monotonic - monotonic


@dataclass(frozen=True)
class Arrival:
    """The store's answer to one arrival of a callback. `word` is one of

    stored    new, kept, the job is due now (or as soon as the step that holds it ends)
    noted     a non-terminal word for the current request
    unread    only its URL could be read
    repeat    the same event is kept already
    late      the job needs no callback any more, or the callback is of an older attempt (and kept)
    missing   no record and no tombstone
    mismatch  the request id is not the job's
    full      no room for another candidate, or for another request named for an older attempt: answer 503

    One that tells nothing new (`noted`, `unread`, `repeat`, `mismatch`, a second ending) makes a job that still waits
    due at most once a minute.
    """

    word: ArrivalWord
    state: JobState | None
    provider: str = ""
    is_due: bool = False  # it has made the job due now, and a step is worth starting


@dataclass(frozen=True)
class Nudge:
    """One due job, as the sweep sees it."""

    job_id: str
    state: JobState
    provider: str
    was_called: bool = False  # a callback came that nobody has looked at
    is_delivered: bool = False  # of a final job: the result and the manifest of this version
    is_for_notification: bool = False  # it is due for a try at its notification


@dataclass(frozen=True)
class Outline:
    """As much of a record as it takes to choose among very many jobs. `accepted_at` is Unix ms."""

    id: str
    state: JobState
    provider: str
    accepted_at: int
    is_open: bool
    nudges: int = 0  # asked for since it is due, and no worker has begun
    lease_until: int = 0
    leased_at: int = 0  # when that lease was first taken
    is_delivered: bool = False  # of a final job: the result and the manifest of its version


@dataclass(frozen=True)
class TimelineEntry:
    """One move, or an operator's act that moves nothing: then `source` is `target`.

    `at` is Unix ms; `source` and `target` are states, a failed one with its stage: `failed(archive)`.
    """

    at: int
    source: str
    target: str
    path: MovePath
    attempt: int
    detail: str = ""
    actor: str = ""  # of an operator's
    reason: str = ""  # as the operator gave it


@dataclass(frozen=True)
class StoredEvent:
    """One callback that was kept. `at` is when it was first stored, Unix ms; `text` is the event as it was given.

    `is_denied`: its provider does not know the request that it names, of an older attempt.
    """

    fingerprint: str
    at: int
    attempt: int
    request_id: str
    is_terminal: bool
    text: str = field(repr=False)
    is_denied: bool = False


@dataclass(frozen=True)
class ServerFacts:
    """The Redis server's account of itself; None where it does not tell."""

    version: str
    has_aof: bool | None
    fsync: str | None  # always, everysec or no
    eviction_policy: str | None
    max_memory_bytes: int | None
    durability: str  # see `Scripts.durability`
    clients: int | None = None  # that are connected
    most_clients: int | None = None  # that may be
