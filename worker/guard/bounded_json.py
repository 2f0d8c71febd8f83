"""What no field of a spec may hold, whatever its name: text that cannot be stored or shown, numbers
that other languages cannot read, depth and bytes without bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

DEPTH = 16
VALUES = 20_000
WHOLE_NUMBER = 2**63
LINE_BREAKS = "\t\n\r"


def value_problems(fields: Mapping[str, Any], limit_bytes: int) -> list[str]:
    """Every value in *fields* that cannot be taken, by place; values themselves are never repeated."""
    problems: list[str] = []
    size = 0
    for seen, (place, value, depth) in enumerate(_walk(fields)):
        size += len(value) if isinstance(value, str) else 8
        if depth > DEPTH:
            return [*problems, f"{place}: is nested more than {DEPTH} deep"]
        if seen > VALUES or size > limit_bytes:
            return [*problems, f"spec: is over {limit_bytes // 2**20} MiB or {VALUES} values"]
        problem = _problem(value)
        if problem:
            problems.append(f"{place}: {problem}")
    return problems


def shown(name: object) -> str:
    """A key as it may stand in a message: short and printable."""
    text = name if isinstance(name, str) else type(name).__name__
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def _walk(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Every key and value with its place and depth; a list of things to do, so that depth costs no stack."""
    waiting: list[tuple[str, Any, int]] = [("", fields, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if isinstance(value, Mapping) and depth <= DEPTH:
            for key, item in value.items():
                inner = f"{place}.{shown(key)}" if place else shown(key)
                yield (inner, key if isinstance(key, str) else _NotText(), depth)
                waiting.append((inner, item, depth + 1))
        elif isinstance(value, list | tuple) and depth <= DEPTH:
            waiting.extend((f"{place}[{n}]", item, depth + 1) for n, item in enumerate(value))
        else:
            yield (place, value, depth)


class _NotText:
    """Stands for a key that is no text."""


def _problem(value: Any) -> str | None:
    if isinstance(value, _NotText):
        return "is a name that is not text"
    if isinstance(value, str):
        return _text_problem(value)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if -WHOLE_NUMBER <= value < WHOLE_NUMBER else "is a number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is a number that JSON does not know"
    return f"is of a type that JSON does not know ({type(value).__name__})"


def _text_problem(text: str) -> str | None:
    if text.isprintable():
        return None
    for character in text:
        code = ord(character)
        if 0xD800 <= code <= 0xDFFF:
            return "holds half a surrogate pair, which is no character"
        if (code < 0x20 and character not in LINE_BREAKS) or 0x7F <= code <= 0x9F:
            return "holds a control character"
    return None
