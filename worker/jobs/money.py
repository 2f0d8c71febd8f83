"""The money of one attempt: what it costs, and whether that is spent.

Amounts are whole millionths of USD, so that sums are exact. The quote of a job is its `cost`; an attempt has money of
its own once its POST was begun.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

MILLION = 1_000_000
DAY_MS = 24 * 60 * 60 * 1000
LINE = re.compile(r"([a-z]+) ([0-9]{1,15}) ([0-9]{1,6}) ([0-9]{1,12}) ([a-z_]{1,30})")


class Standing(StrEnum):
    """The state of an attempt's money: exactly one of these from the moment its POST is begun."""

    RESERVED = "reserved"  # its POST was begun, and how it ends is not known yet
    RETURNED = "returned"  # surely not taken, refused, or failed at a provider that does not charge failures
    SPENT = "spent"  # a video was made, or it failed at a provider that charges failures
    UNKNOWN = "unknown"  # unconfirmed, never told, expired, or failed where nobody says who pays


COUNTED = (Standing.RESERVED, Standing.SPENT, Standing.UNKNOWN)
"""Money that is gone, or may be: the caps count it."""


class Basis(StrEnum):
    """The source of an amount."""

    LIST_PRICE = "list_price"  # the vendor's
    CONFIGURED_PRICE = "configured_price"  # `<PROVIDER>_PRICES`
    PROVIDER = "provider"  # the provider's own word about this request
    UNKNOWN = "unknown"  # no price is known: the amount is 0


@dataclass(frozen=True)
class Money:
    """The money of one attempt. `day` is the UTC day of its POST, in days since 1970; `ms` of video were asked for."""

    standing: Standing
    amount: int  # millionths of USD
    day: int
    ms: int
    basis: str

    @property
    def counted(self) -> int:
        """The millionths that the caps count."""
        return self.amount if self.standing in COUNTED else 0

    @property
    def is_priced(self) -> bool:
        return self.basis != Basis.UNKNOWN

    @property
    def line(self) -> str:
        """The form in which the record keeps it; `lua/_money.lua` reads and writes the same."""
        return f"{self.standing} {self.amount} {self.day} {self.ms} {self.basis}"

    @classmethod
    def parse(cls, line: str) -> Money:
        """Read a `line`; raises `ValueError`."""
        parts = LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"no money of an attempt: {line!r:.80}")
        return cls(Standing(parts[1]), int(parts[2]), int(parts[3]), int(parts[4]), parts[5])

    def document(self) -> dict[str, Any]:
        """The money as results and job documents tell it; `usd` is None where no price is known."""
        return {
            "standing": str(self.standing),
            "usd": usd(self.amount) if self.is_priced else None,
            "basis": self.basis,
            "day": day_text(self.day),
            "seconds": self.ms / 1000,
        }


def costs_of(attempts: Mapping[int, Money]) -> dict[str, Any]:
    """The sum of all attempts by standing, and each attempt; empty where no POST was begun."""
    if not attempts:
        return {}
    totals: dict[Standing, int] = {}
    for money in attempts.values():
        totals[money.standing] = totals.get(money.standing, 0) + money.amount
    return {
        "total": {str(standing): usd(totals[standing]) for standing in Standing if standing in totals},
        "attempts": [{"attempt": number, **money.document()} for number, money in sorted(attempts.items())],
    }


def millionths(amount: Decimal) -> int:
    """*amount* in whole millionths, rounded up: a budget is never passed by rounding."""
    return int((amount * MILLION).to_integral_value(ROUND_CEILING))


def from_millionths(count: int) -> Decimal:
    """The amount that `millionths` counts."""
    return Decimal(count) / MILLION


def usd(count: int) -> str:
    """Millionths as decimal text with all six places."""
    return f"{count // MILLION}.{count % MILLION:06}"


def day_of(now: int) -> int:
    """The UTC day of an instant, Unix ms, in days since 1970."""
    return now // DAY_MS


def day_text(day: int) -> str:
    """A UTC day as `2026-12-01`."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()


def month_text(day: int) -> str:
    """The month of a UTC day as `2026-12`."""
    return day_text(day)[:7]


def day_ends_at(day: int) -> int:
    """The first instant after a UTC day, Unix ms."""
    return (day + 1) * DAY_MS


def month_ends_at(day: int) -> int:
    """The first instant after the month of a UTC day, Unix ms."""
    first = datetime.fromisoformat(f"{month_text(day)}-01T00:00:00+00:00")
    return round((first + timedelta(days=32)).replace(day=1).timestamp() * 1000)
