"""Rate limits, concurrency cap and budget of one provider, shared by all workers, and their refusals in words.

The counting is Redis's (`worker/store/lua/_limits.lua`); here are the numbers that
it is given and the sentences that people are told. Money is counted in millionths,
so that Redis adds whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any, Literal

from worker.jobs.durations import moment

MILLION = 1_000_000


Verdict = Literal["answered", "failed", "locked_out"]
"""What a request's end says of its provider: it answers; it fails (of such the breaker opens when there are many);
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
    daily_budget: Decimal | None = None  # for all providers together, per UTC day

    def given(self, shards: int = 1) -> dict[str, Any]:
        """As the scripts take them. Shards cannot count together, so each has its part; but there is one budget."""
        numbers = {
            "max_concurrent": self.max_concurrent and max(1, self.max_concurrent // shards),
            "per_minute": self.per_minute and max(2, self.per_minute // shards),
            "budget": None if self.daily_budget is None else millionths(self.daily_budget),
        }
        return {"provider": self.provider, **{name: value for name, value in numbers.items() if value is not None}}


@dataclass(frozen=True)
class Refusal:
    """Why a request may not begin now. `why` is one of the keys of `REASONS`."""

    why: str
    until: int | None  # Unix ms, where it is known
    ahead: int = 0  # jobs that wait longer


REASONS = {
    "asked_to_wait": "{provider} to be asked again: it asked for a pause",
    "breaker": "{provider} to answer well again: one request is let through every 10 s, the others wait",
    "paused": "{provider} to be resumed: paused by an operator",
    "concurrency": "room at {provider}: it has {cap} jobs, as many as {name}_MAX_CONCURRENT allows",
    "rate": "its turn at {provider}: {name}_REQUESTS_PER_MINUTE is used up",
    "turn": "its turn at {provider}",
    "budget": "the next UTC day: CALLSHEET_DAILY_BUDGET of {budget} USD would be passed",
    "price": "a greater CALLSHEET_DAILY_BUDGET: the job costs more than the {budget} USD of a whole day",
}


def in_words(refusal: Refusal, limits: Limits) -> str:
    """The reason of a refusal, and when it may end."""
    words = REASONS[refusal.why].format(
        provider=limits.provider,
        name=limits.provider.upper(),
        cap=limits.max_concurrent,
        budget=limits.daily_budget,
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
    spent: Decimal  # today, at all providers: reserved with each POST, given back where it was surely not taken
    submit: Lane
    poll: Lane


def millionths(amount: Decimal) -> int:
    """*amount* in whole millionths, rounded up: a budget is never passed by rounding."""
    return int((amount * MILLION).to_integral_value(ROUND_CEILING))


def from_millionths(count: int) -> Decimal:
    """The amount that `millionths` counts."""
    return Decimal(count) / MILLION
