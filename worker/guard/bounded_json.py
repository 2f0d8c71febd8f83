"""JSON that strangers sent: one object, one reading, bounded in depth and number of values.

One walk (`walk`) finds what is too deep or too much; each reader says its own bounds. Nothing here repeats a value,
and a name only where it is a short identifier: either may be a prompt.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from worker.guard.text import shown_name

WHOLE_NUMBER = 2**63
LINE_BREAKS = "\t\n\r"
INTEGER_DIGITS = 20

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: escapes can spell them, UTF-8 and most stores cannot hold them."""


@dataclass(frozen=True)
class Bounds:
    """Most containers around a value, and most values (containers among them) in one document."""

    depth: int
    values: int


SPEC_BOUNDS = Bounds(depth=16, values=20_000)
BATCH_BOUNDS = Bounds(depth=18, values=200_000)
"""Of several specs; each is then held to the bounds of one."""
CALLBACK_BOUNDS = Bounds(depth=16, values=1000)
ANSWER_BOUNDS = Bounds(depth=32, values=50_000)


class UnreadableError(Exception):
    """The bytes or values are not what they should be; `args[0]` says why in words that hold none of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """The path to a value; written out only when it is told."""

    around: Place | None
    step: object  # a name, or the number of a list's item

    @property
    def steps(self) -> tuple[object, ...]:
        """The way from the root."""
        found: list[object] = []
        place: Place | None = self
        while place is not None:
            found.append(place.step)
            place = place.around
        return tuple(reversed(found))

    @property
    def names(self) -> tuple[str, ...]:
        """The names on the way from the root, without the numbers of list items."""
        return tuple(step for step in self.steps if isinstance(step, str))

    def __str__(self) -> str:
        words = (f"[{step}]" if type(step) is int else f".{shown_name(step)}" for step in self.steps)
        return "".join(words).removeprefix(".")


Item = tuple[Place | None, object, Any, int]
"""Where, the name that it bears ("" in a list), the value, how many containers are around it."""


def walk(root: Any, bounds: Bounds) -> Iterator[Item]:
    """Every value below *root*, containers before their content; a list of things to do, so that depth costs no stack.

    Raises `UnreadableError` at the first value past *bounds*.
    """
    waiting: list[Item] = [(None, "", root, 0)]
    seen = 0
    while waiting:
        item = waiting.pop()
        place, _, value, depth = item
        seen += 1
        if depth > bounds.depth:
            raise UnreadableError(f"nested more than {bounds.depth} deep")
        if seen > bounds.values:
            raise UnreadableError(f"over {bounds.values} values")
        yield item
        if isinstance(value, Mapping):
            waiting.extend((Place(place, name), name, inner, depth + 1) for name, inner in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((Place(place, number), "", inner, depth + 1) for number, inner in enumerate(value))


def read_strictly(body: bytes, bounds: Bounds = CALLBACK_BOUNDS) -> dict[str, Any]:
    """The object that *body* holds; `UnreadableError` for anything else.

    Stricter than RFC 8259 where parsers differ or a store could choke, so that what was checked here means the same
    to the next reader.
    """
    try:
        text = body.decode()
        value = _STRICT.decode(text)
    except RecursionError:
        raise UnreadableError("nested too deeply") from None
    except UnicodeDecodeError as err:
        raise UnreadableError(f"not UTF-8 at byte {err.start}") from None
    except json.JSONDecodeError as err:
        raise UnreadableError(f"{err.msg} at character {err.pos}") from None
    if not isinstance(value, dict):
        raise UnreadableError("not an object")
    # only an escape can spell them: raw NUL is not JSON, a raw surrogate is not UTF-8
    may_hold_them = "\\u" in text
    for _, name, item, _ in walk(value, bounds):
        if may_hold_them and any(isinstance(told, str) and UNSTORABLE.search(told) for told in (name, item)):
            raise UnreadableError("NUL or a lone surrogate in a string")
    return value


def read_tolerantly(body: bytes, bounds: Bounds = ANSWER_BOUNDS, *, list_name: str = "") -> dict[str, Any]:
    """The object that *body* holds; `UnreadableError` for anything else.

    With *list_name*, an array is read too: one of a single object as that, any other as an object's field of that name.

    What costs nothing is tolerated: bad UTF-8, a byte-order mark; NaN and Infinity are None. A name that is given
    twice with two meanings is left out, and only that: it could be read two ways.
    """
    try:
        value = _TOLERANT.decode(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as err:
        raise UnreadableError("it is not JSON") from err
    if list_name and isinstance(value, list):
        value = value[0] if len(value) == 1 and isinstance(value[0], dict) else {list_name: value}
    if not isinstance(value, dict):
        raise UnreadableError("it is not a JSON object")
    for _ in walk(value, bounds):
        pass
    return value


def value_problems(fields: Mapping[str, Any], limit_bytes: int) -> list[str]:
    """Every value in *fields* that no field of a spec may hold, by place; values themselves are never repeated."""
    problems: list[str] = []
    size = 0
    try:
        for place, name, value, _ in walk(fields, SPEC_BOUNDS):
            size += _size(name) + _size(value)
            if size > limit_bytes:
                raise UnreadableError(f"over {limit_bytes // 2**20} MiB")
            problem = _name_problem(name) or _value_problem(value)
            if problem:
                problems.append(f"{place}: {problem}")
    except UnreadableError as err:
        problems.append(f"spec: is {err}")
    return problems


def _size(value: object) -> int:
    return len(value) if isinstance(value, str) else 8


def _name_problem(name: object) -> str | None:
    if not isinstance(name, str):
        return "is a name that is not text"
    return _text_problem(name)


def _value_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return _text_problem(value)
    if value is None or isinstance(value, bool | Mapping | list | tuple):
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("a key is given twice")
    return found


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        for name, value in pairs:
            if name in found and found[name] != value:
                del found[name]
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise UnreadableError(f"{word} is not JSON")


def _nothing(_constant: str) -> None:
    """The meaning of NaN and Infinity."""


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS:
        raise UnreadableError(f"an integer of more than {INTEGER_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise UnreadableError("a number too large")
    return number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_finite
)
_TOLERANT = json.JSONDecoder(object_pairs_hook=_unambiguous, parse_constant=_nothing)
