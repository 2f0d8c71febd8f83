"""Reading what a provider says: everything in it is a stranger's.

JSON is bounded before it is believed, text is made harmless before it is kept,
and an id is checked before it goes into a URL or a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from worker.jobs.job import Link

MESSAGE_CHARACTERS = 500
STATUS_CHARACTERS = 40
LINKS = 16
LINK_CHARACTERS = 8192
DEPTH = 32
VALUES = 50_000
HIDDEN_RUN = 16
"""Characters of a secret or prompt that may stand together in a provider's message before they are hidden."""

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x9b[0-?]*[ -/]*[@-~]")
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://\S+|\bdata:\S+")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_REQUEST_ID = re.compile(r"(?!\.+\Z)[!-.0-\[\]-~]{1,128}")  # printable ASCII but space, '/' and '\'


class UnreadableError(Exception):
    """The bytes are not what they should be; `args[0]` says it in words. Never leaves the adapters."""


def read_json(body: bytes) -> Mapping[str, Any]:
    """*body* as a JSON object of bounded depth and size.

    Tolerant of what costs nothing (bad UTF-8, NaN, a byte-order mark), but a
    name given twice is refused: it could be read two ways.
    """
    try:
        text = body.decode("utf-8-sig", "replace")
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_nothing)
    except (ValueError, RecursionError) as err:
        raise UnreadableError("it is not JSON") from err
    if not isinstance(document, dict):
        raise UnreadableError("it is not a JSON object")
    _check_bounds(document)
    return document


def clean(text: object, limit: int = MESSAGE_CHARACTERS, *, hide: Iterable[str] = ()) -> str:
    """*text* on one printable line of at most *limit* characters, without URLs and without what to *hide*.

    Anything but text and numbers is nothing.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = str(text)[:limit]
    if not isinstance(text, str):
        return ""
    text = text[: 20 * limit]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in _ANSI.sub(" ", text))
    line = " ".join(text.split())
    line = _URL.sub("[url]", line)
    for secret in hide:
        line = _hidden(line, " ".join(secret.split()))
    return line[:limit]


def code_word(value: object, default: str = "", *, hide: Iterable[str] = ()) -> str:
    """A provider's short word for what went wrong, or *default* when it gave none fit to be kept."""
    word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str) or not _CODE.fullmatch(word):
        return default
    return word if all(_hidden(word, secret) == word for secret in hide) else default


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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _nothing(_constant: str) -> None:
    """What NaN and Infinity are read as."""


def _check_bounds(document: dict[str, Any]) -> None:
    waiting: list[tuple[Any, int]] = [(document, 1)]
    seen = 0
    while waiting:
        value, level = waiting.pop()
        seen += 1
        if level > DEPTH or seen > VALUES:
            raise UnreadableError(f"it is nested over {DEPTH} deep or holds over {VALUES} values")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting.extend((item, level + 1) for item in inner)


def _is_one_line(url: str) -> bool:
    return len(url) <= LINK_CHARACTERS and url.isprintable() and " " not in url


def _hidden(line: str, secret: str) -> str:
    """*line* without *secret* and without any run of it long enough to tell something."""
    if len(secret) < 4:
        return line
    run = min(HIDDEN_RUN, len(secret))
    if len(line) < run:
        return line
    runs = {secret[i : i + run] for i in range(len(secret) - run + 1)}
    covered = bytearray(len(line))
    for i in range(len(line) - run + 1):
        if line[i : i + run] in runs:
            covered[i : i + run] = b"\x01" * run
    return re.sub("\x00+", "[hidden]", "".join("\x00" if bit else c for c, bit in zip(line, covered, strict=True)))
