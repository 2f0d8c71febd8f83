"""Rate limits, concurrency cap and budget of one provider, shared by all workers, and their refusals in words.

The counting is Redis's (`worker/store/lua/_limits.lua`); here are the numbers that
it is given and the sentences that people are told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from worker.jobs.caps import CapName, Caps
from worker.jobs.durations import moment

Verdict = Literal["answered", "failed", "locked_out"]
"""A request's end, as to its provider: it answers; it fails (of such the breaker opens when there are many);
it refuses everybody (of these one opens it)."""


class Operation(StrEnum):
    """The two things asked of a provider; each has a breaker of its own, and half of a scarce rate."""

    SUBMIT = "submit"  # a POST that may cost money
    POLL = "poll"  # any GET


@dataclass(frozen=True)
class Limits:
    """The limits of one provider; None: without limit."""

    provider: str
    max_concurrent: int | None = None  # jobs that it may hold: submitting, unconfirmed or submitted
    per_minute: int | None = None  # requests of either kind, in any 60 s
    caps: Caps = field(default_factory=Caps)  # of money, for all providers together

    def given(self, shards: int = 1) -> dict[str, Any]:
        """As the scripts take them. Shards cannot count together, so each has its part; money is counted elsewhere."""
        numbers = {
            "max_concurrent": self.max_concurrent and max(1, self.max_concurrent // shards),
            "per_minute": self.per_minute and max(2, self.per_minute // shards),
        }
        return {"provider": self.provider, **{name: value for name, value in numbers.items() if value is not None}}


@dataclass(frozen=True)
class Refusal:
    """Why a request may not begin now. `why` is one of the keys of `REASONS`."""

    why: str
    until: int | None  # Unix ms, where it is known
    ahead: int = 0  # jobs that wait longer
    cap: CapName | None = None  # where it is money: which cap would be passed

    @property
    def is_of_tenant(self) -> bool:
        """Whether only its tenant's money is short: others need not wait behind it."""
        return self.cap is CapName.TENANT


REASONS = {
    "asked_to_wait": "{provider} to be asked again: it asked for a pause",
    "breaker": "{provider} to answer well again: one request is let through every 10 s, the others wait",
    "paused": "{provider} to be resumed: paused by an operator",
    "concurrency": "room at {provider}: it has {cap} jobs, as many as {name}_MAX_CONCURRENT allows",
    "rate": "its turn at {provider}: {name}_REQUESTS_PER_MINUTE is used up",
    "turn": "its turn at {provider}",
    "budget": "{period}: {setting} of {most} USD would be passed",
    "price": "a greater {setting}: the job costs more than the {most} USD of it",
}


PERIODS = {
    CapName.DAILY: "the next UTC day",
    CapName.MONTHLY: "the next month (UTC)",
    CapName.TENANT: "its tenant's next UTC day",
}
"""The wait code of a job that would pass a cap."""


def in_words(refusal: Refusal, limits: Limits, tenant: str = "") -> str:
    """The reason of a refusal of a job of *tenant*, and when it may end."""
    cap = refusal.cap or CapName.DAILY
    words = REASONS[refusal.why].format(
        provider=limits.provider,
        name=limits.provider.upper(),
        cap=limits.max_concurrent,
        period=PERIODS[cap],
        setting=cap.setting,
        most=limits.caps.most(cap, tenant),
    )
    until = f", until {moment(refusal.until)}" if refusal.until and refusal.why != "rate" else ""
    ahead = f"; {refusal.ahead} before it" if refusal.ahead else ""
    return f"{words}{until}{ahead}"


@dataclass(frozen=True)
class Place:
    """A job's position in its provider's backlog: those first that have waited longest."""

    op: Operation
    since: int  # Unix ms; 0: before all others


@dataclass(frozen=True)
class Permit:
    """Whether a request may begin; one that may is counted."""

    refusal: Refusal | None = None
    is_probe: bool = False  # the one request that an open breaker lets through

    @property
    def is_granted(self) -> bool:
        return self.refusal is None


@dataclass(frozen=True)
class Lane:
    """The state of one operation's limits at a provider."""

    calls: int  # in the last minute
    failures: int  # of these, such as tell of the provider
    waiting: int  # jobs that stand in line
    refusal: Refusal | None  # why none may begin now
    open_why: str  # why the breaker is open; empty: it is closed
    open_since: int | None


@dataclass(frozen=True)
class Standing:
    """The state of a provider's limits."""

    limits: Limits
    occupied: int  # jobs that the provider may hold
    spent: Decimal  # today, at all providers, as the caps count it
    submit: Lane
    poll: Lane
