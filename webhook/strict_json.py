"""Which bytes are JSON for us: one object, one reading, bounded.

Stricter than RFC 8259 where parsers differ or a store could choke, so that what
was checked here means the same to whoever reads it next.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from worker.errors import CallbackError

MAX_DEPTH = 16
MAX_VALUES = 1000
MAX_INTEGER_DIGITS = 20

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates: escapes can spell them, UTF-8 and most stores cannot hold them."""


def read_object(body: bytes) -> dict[str, Any]:
    """The object that *body* holds; `CallbackError` (reason `json`) for anything else."""
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except RecursionError:
        raise _refused("nested too deeply") from None
    except UnicodeDecodeError as err:
        raise _refused(f"not UTF-8 at byte {err.start}") from None
    except json.JSONDecodeError as err:
        raise _refused(f"{err.msg} at character {err.pos}") from None
    if not isinstance(value, dict):
        raise _refused("not an object")
    texts = _check_bounds(value)
    # only an escape can spell them: raw NUL is not JSON, a raw surrogate is not UTF-8
    if "\\u" in text and any(UNSTORABLE.search(found) for found in texts):
        raise _refused("NUL or a lone surrogate in a string")
    return value


def _refused(detail: str) -> CallbackError:
    return CallbackError("json", detail)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _refused("a key is given twice")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise _refused(f"{word} is not JSON")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise _refused(f"an integer of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _refused("a number too large")
    return number


def _check_bounds(root: dict[str, Any]) -> list[str]:
    """All strings and keys below *root*; refuses what nests too deeply or holds too many values."""
    texts: list[str] = []
    values = 1
    level: list[Any] = [root]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for container in level:
            values += len(container)
            if isinstance(container, dict):
                texts += container
                container = container.values()
            deeper += [value for value in container if isinstance(value, (dict, list))]
            texts += [value for value in container if isinstance(value, str)]
        if values > MAX_VALUES:
            raise _refused(f"more than {MAX_VALUES} values")
        if not deeper:
            return texts
        level = deeper
    raise _refused(f"nested more than {MAX_DEPTH} deep")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_int=_integer, parse_float=_finite
)
