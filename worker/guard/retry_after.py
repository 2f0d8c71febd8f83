"""The Retry-After of a stranger's answer, in seconds or as a date [RFC 9110 10.2.3]."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


def retry_after_seconds(text: str, *, answered_at: str = "", now: float) -> float | None:
    """The seconds that *text* asks to wait; None where it says nothing readable. They may be negative or endless.

    A date counts from the answer's own Date (*answered_at*), without that from *now* (Unix seconds).
    """
    if SECONDS.fullmatch(text.strip()):
        return float(text)
    then = http_date(text)
    return None if then is None else then - (http_date(answered_at) or now)


def http_date(text: str) -> float | None:
    """The instant of an HTTP date, Unix seconds; None where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
