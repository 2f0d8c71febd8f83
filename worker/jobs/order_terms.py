"""The terms on which a spec is ordered, whatever its model: for whom, at what cost at most, and when."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from worker.jobs.durations import iso

TENANT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
COST = re.compile(r"[0-9]{1,9}([.][0-9]{1,6})?")
GIVE_UP_SECONDS = (60, 7 * 24 * 3600)
"""The least and the most of `give_up_after`."""
AHEAD_MS = 30 * 24 * 3600 * 1000
"""The farthest `not_before` when the spec is accepted."""
LATEST_SECONDS = 253_402_300_799
"""The last second of the year 9999."""


def tenant(text: object) -> str:
    """*text*, if it can name a tenant; raises `ValueError` in words."""
    if not isinstance(text, str) or not TENANT.fullmatch(text):
        raise ValueError("must be 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-'")
    return text


def max_cost(value: object) -> str:
    """An amount of USD, a number or decimal text, as plain decimal text; raises `ValueError` in words."""
    words = "must be USD above 0, with at most 6 decimals, such as 0.6"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(words)
    try:
        amount = Decimal(str(value)).normalize()
    except InvalidOperation:
        raise ValueError(words) from None
    if not amount.is_finite() or amount <= 0 or not COST.fullmatch(f"{amount:f}"):
        raise ValueError(words)
    return f"{amount:f}"


def not_before(value: object) -> str:
    """An instant, RFC 3339 with its offset or Unix seconds, as RFC 3339 in UTC; raises `ValueError` in words."""
    words = "must be an instant, such as 2026-12-01T08:00:00Z or Unix seconds"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(words)
    if isinstance(value, int | float):
        if not 0 <= value <= LATEST_SECONDS:
            raise ValueError(words)
        return iso(int(value * 1000))
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError("must say its offset from UTC, such as 2026-12-01T08:00:00Z")
        return iso(int(at.astimezone(UTC).timestamp() * 1000))
    except OverflowError:
        raise ValueError(words) from None
    except ValueError as err:
        raise ValueError(str(err) if "offset" in str(err) else words) from None


def instant(text: str) -> int:
    """Unix ms of what `not_before` returned."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)
