"""Single values of a provider's answer, checked before they are kept: ids, instants, links, numbers, words.

An id goes into URLs and records, a link is downloaded, a word stands in logs: each is bounded and made harmless here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from worker.guard.text import clean, holds
from worker.jobs.job import Link

STATUS_CHARACTERS = 40
LINKS = 16
LINK_CHARACTERS = 8192
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_REQUEST_ID = re.compile(r"(?!\.+\Z)[!-.0-\[\]-~]{1,128}")  # printable ASCII but space, '/' and '\'


def code_word(value: object, default: str = "", *, hide: Iterable[str] = ()) -> str:
    """A provider's short word for what went wrong, or *default* when it gave none fit to be kept."""
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not _CODE.fullmatch(word):
        return default
    return default if holds(word, hide) else word


def request_id(value: object) -> str | None:
    """*value* if it can be a request id: it goes into URLs, keys and logs."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else None


def instant(value: object) -> int | None:
    """Unix milliseconds from seconds or milliseconds (numbers or digits); None for anything unlikely."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    moment = int(value if value >= 1e11 else value * 1000)
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


def links(urls: Iterable[object], expires_at: int | None = None) -> tuple[Link, ...]:
    """The https URLs among *urls*, each once, in order. What else they must be, the download guard knows."""
    usable = [url for url in urls if isinstance(url, str) and url.startswith("https://") and _is_one_line(url)]
    return tuple(Link(url, expires_at) for url in list(dict.fromkeys(usable))[:LINKS])


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


def error_words(document: Mapping[str, Any], *, hide: Collection[str] = ()) -> tuple[str, str]:
    """Code and message of whatever error *document* tells, in the shapes that the three providers use."""
    error = document.get("error")
    parts = error if isinstance(error, Mapping) else {}
    words = [word for word in (code_word(parts.get(name), hide=hide) for name in ("code", "type")) if word]
    code = next((word for word in words if not word.isdigit()), words[0] if words else "")
    told = [
        parts.get("message"),
        error,
        *(document.get(name) for name in ("error_message", "message", "detail", "msg")),
        parts.get("details"),
    ]
    message = next((text for text in (clean(item, hide=hide) for item in told) if text), "")
    return code, message


def _is_one_line(url: str) -> bool:
    return len(url) <= LINK_CHARACTERS and url.isprintable() and " " not in url
