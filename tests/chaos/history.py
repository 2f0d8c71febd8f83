"""The history of a run: everything that sandbox, S3, store, broker and operating system recorded of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.s3_gate import S3Call
from worker.jobs.job import Job
from worker.jobs.rate_limits import Limits
from worker.store import TimelineEntry

RECEIVER_SECONDS = 2.0


@dataclass(frozen=True)
class Request:
    """One request that a provider accepted, and so would be paid. `outcome`: None while it is under way."""

    id: str
    job_id: str
    attempt: int
    created_at: float
    outcome: str | None
    digests: tuple[str, ...]  # SHA-256 of each video that is served
    provider: str = ""
    ended_at: float = 0.0


@dataclass(frozen=True)
class Notified:
    """One POST that the backend's receiver got about a job."""

    webhook_id: str
    type: str
    ver: int
    state: str
    digests: tuple[str, ...]  # SHA-256 of each video that it names
    body: bytes
    is_genuine: bool = True


@dataclass
class JobHistory:
    """Everything that anybody wrote down about one job. `told` is the result backend's entry."""

    job: Job | None
    timeline: Sequence[TimelineEntry] = ()
    calls: Sequence[Mapping[str, Any]] = ()  # at the provider
    callbacks: Sequence[Mapping[str, Any]] = ()
    requests: Sequence[Request] = ()
    puts: Sequence[S3Call] = ()
    objects: Mapping[str, str] = field(default_factory=dict)  # key -> SHA-256 now
    told: Mapping[str, Any] = field(default_factory=dict)
    wants_notification: bool = False
    notified: Sequence[Notified] = ()  # in the order they came
    kept_events: int = 0
    versions: Sequence[int] = ()  # as they were seen during the run


@dataclass(frozen=True)
class Outage:
    """From when to when the receiver could not answer as it should, by the sandbox's clock, and what was away."""

    what: str  # store or receiver
    began: float
    ended: float


@dataclass(frozen=True)
class Sample:
    """The memory of the largest process of a part at a moment, or of `redis` as a whole."""

    who: str
    bytes: int


@dataclass
class History:
    """A whole run."""

    jobs: dict[str, JobHistory]
    breaches_of_due: Sequence[str] = ()
    breaches_of_money: Sequence[str] = ()  # where the ledger or the budget is not what the records make
    texts: Mapping[str, str] = field(default_factory=dict)  # place -> all that stands there and may hold no secret
    canaries: Sequence[str] = ()
    tokens: frozenset[str] = frozenset()  # of callback URLs and video links: secrets that are words of their own
    outages: Sequence[Outage] = ()
    receiver_seconds: float = RECEIVER_SECONDS
    indexes: Mapping[str, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)  # held, and true
    limits: Mapping[str, Limits] = field(default_factory=dict)
    calls_at: Mapping[str, Sequence[float]] = field(default_factory=dict)  # provider -> when it was called
    requests: Sequence[Request] = ()  # of all jobs
    samples: Sequence[Sample] = ()  # in the order they were taken
    most_redis_bytes: int = 0  # what Redis may hold; 0: it was not measured


@dataclass(frozen=True)
class Breach:
    """A promise that was not kept."""

    job_id: str
    what: str
