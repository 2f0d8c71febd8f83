"""Single values of a provider's answer, checked before they are kept: ids, instants, links, numbers, words.

An id goes into URLs and records, a link is downloaded, a word stands in logs: each is bounded and made harmless here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

from worker.guard.text import clean, holds
from worker.jobs.money import millionths

STATUS_CHARACTERS = 40
LINKS = 16
LINK_CHARACTERS = 8192
_BREAKS = re.compile(r"[\t\r\n]")
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_UTC = re.compile(r"\s*(UTC|GMT)\Z")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_REQUEST_ID = re.compile(r"(?!\.+\Z)[!-.0-\[\]-~]{1,128}")  # printable ASCII but space, '/' and '\'


def code_word(value: object, default: str = "", *, hide: Iterable[str] = ()) -> str:
    """A provider's short word for what went wrong, or *default* when it gave none fit to be kept."""
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not _CODE.fullmatch(word):
        return default
    return default if holds(word, hide) else word


def request_id(value: object) -> str | None:
    """*value* as a request id, if it can be one: it goes into URLs, keys and logs. A number is one, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value < 10**20 else None
    text = value.strip() if isinstance(value, str) else ""
    return text if _REQUEST_ID.fullmatch(text) else None


def instant(value: object) -> int | None:
    """Unix milliseconds, from Unix seconds, milliseconds, micro- or nanoseconds (numbers or digits), ISO 8601 or
    RFC 2822; a time without a zone is UTC. None for anything unlikely."""
    if isinstance(value, str):
        value = _moment(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e20:
        return None
    exponent = next((digits for digits, least in ((-6, 1e17), (-3, 1e14), (0, 1e11)) if value >= least), 3)
    moment = int(value * 10**exponent) if exponent >= 0 else int(value) // 10**-exponent
    return moment if 946_684_800_000 <= moment < 4_102_444_800_000 else None  # the years 2000 to 2099


def percent(value: object) -> int | None:
    """Progress as 0 to 100, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return int(value)


def seconds(value: object) -> float | None:
    """A provider's estimate, when it is one: above nothing, at most a day."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        return None
    return float(value)


def usd_millionths(value: object) -> int | None:
    """An amount of USD, a number or decimal text, in millionths; None for anything else, and above 100,000 USD."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return millionths(amount) if amount.is_finite() and 0 <= amount <= 100_000 else None


def usable_urls(urls: Iterable[object]) -> tuple[str, ...]:
    """The https URLs among *urls*, each once, in order; what else they must be, the download guard knows.

    As browsers do, blanks around them and line breaks within are nothing, and the scheme has no case.
    """
    plain = (_BREAKS.sub("", url.strip()) for url in urls if isinstance(url, str))
    usable = (f"https://{url[8:]}" for url in plain if url[:8].lower() == "https://" and _can_be_kept(url))
    return tuple(list(dict.fromkeys(usable))[:LINKS])


def small(usage: object, names: Sequence[str], *, hide: Iterable[str] = ()) -> dict[str, Any]:
    """The named scalars of *usage*: numbers as they are, text made harmless."""
    if not isinstance(usage, Mapping):
        return {}
    kept: dict[str, Any] = {}
    for name in names:
        value = usage.get(name)
        if isinstance(value, str):
            kept[name] = clean(value, 60, hide=hide)
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15:
            kept[name] = value
    return kept


def _can_be_kept(url: str) -> bool:
    return 8 < len(url) <= LINK_CHARACTERS and url.isprintable()


def _moment(text: str) -> float | None:
    """Unix seconds, or a number in whichever unit, of a time that is written out."""
    if re.fullmatch(r"[0-9]{1,19}(\.[0-9]{1,9})?", text, re.ASCII):
        return float(text) if "." in text else int(text)
    plain = _UTC.sub("+00:00", _FRACTION.sub(r"\1", text).replace("/", "-"))
    for read, written in ((datetime.fromisoformat, plain), (parsedate_to_datetime, text)):
        with suppress(ValueError, TypeError, OverflowError, IndexError):
            told = read(written)
            return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return None
