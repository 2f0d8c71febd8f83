"""Lengths of time and instants as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([0-9]{1,6})([smhd])")


def parse_span(text: str) -> int:
    """Seconds of `90s`, `15m`, `2h` or `7d`; raises `ValueError` in words."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("must be a number and a unit, such as 90s, 15m, 2h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def span(seconds: float) -> str:
    """A length of time in its two largest units: `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for large, unit, small, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            count, left = divmod(whole, large)
            return f"{count} {unit} {left // small} {rest}" if left // small else f"{count} {unit}"
    raise AssertionError("every length of a minute or more has a unit")


def moment(instant: int) -> str:
    """An instant in Unix milliseconds as `2026-11-20 11:47:03 UTC`."""
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(instant: int) -> str:
    """An instant in Unix milliseconds as RFC 3339, for machines."""
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
