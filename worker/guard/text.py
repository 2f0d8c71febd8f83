"""Text that strangers wrote, made harmless: `clean` for records and messages, `printable` for logs and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterable

MESSAGE_CHARACTERS = 500
HIDDEN_RUN = 16
"""Characters of a secret or prompt that may stand together in a message before they are hidden."""

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x9b[0-?]*[ -/]*[@-~]")
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://\S+|\bdata:\S+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,23}")


def printable(text: object) -> str:
    """*text* on one line, every control and format character written as its escape: nothing a terminal could obey."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


def clean(text: object, limit: int = MESSAGE_CHARACTERS, *, hide: Iterable[str] = ()) -> str:
    """*text* on one printable line of at most *limit* characters, without URLs and without what to *hide*.

    Anything but text and numbers is nothing.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        text = str(text)[:limit] if not isinstance(text, int) or abs(text) < 10**18 else ""
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


def shown_name(name: object) -> str:
    """A field's name as it may stand in a message: a short identifier as it is, anything else (a prompt, say) only
    by its length."""
    if not isinstance(name, str):
        return f"(a {type(name).__name__} as name)"
    return name if _NAME.fullmatch(name) else f"(a name of {len(name)} characters)"


def holds(text: str, secrets: Iterable[str]) -> bool:
    """Whether *text* holds one of *secrets*, or enough of it to tell something."""
    return any(_hidden(text, secret) != text for secret in secrets)


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
