"""The place of a value in a request's body, as a catalogue writes it.

`a`, `a.b` (nested objects), `a[0]` (an item of a list), and `a[type=first_frame].url`: the object of a list whose
member `type` is `first_frame`, made with that member where it is not there yet.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

_NAME = r"[A-Za-z_$][A-Za-z0-9_$-]{0,59}"
_STEP = re.compile(rf"(?P<name>{_NAME})(?:\[(?:(?P<index>[0-9])|(?P<key>{_NAME})=(?P<value>[A-Za-z0-9_-]{{1,60}}))\])?")
FORM = "must be a path such as duration, settings.duration, image_urls[0] or contents[type=first_frame].url"


@dataclass(frozen=True)
class _Step:
    """One name on the way, and which item of the list there: by its number, or by one of its members."""

    name: str
    index: int | None = None
    member: tuple[str, str] | None = None


@dataclass(frozen=True)
class WirePath:
    """A place in a JSON body."""

    text: str
    steps: tuple[_Step, ...]

    @classmethod
    def parse(cls, text: str) -> WirePath:
        """Read a path; raises `ValueError` in words."""
        steps = [_STEP.fullmatch(part) for part in text.split(".")]
        if len(steps) > 6:
            raise ValueError(FORM)
        return cls(text, tuple(_step(step) for step in steps))

    def put(self, body: MutableMapping[str, Any], value: Any) -> None:
        """Set *value* at this place of *body*; what is missing on the way is made."""
        place: Any = body
        for step in self.steps[:-1]:
            place = _entered(place, step)
        last = self.steps[-1]
        if last.index is None and last.member is None:
            place[last.name] = value
        elif last.index is not None:
            items = place.setdefault(last.name, [])
            items[last.index :] = [value]

    def get(self, body: Any) -> Any:
        """The value at this place; None where there is none."""
        for step in self.steps:
            body = body.get(step.name) if isinstance(body, dict) else None
            if step.index is not None:
                body = body[step.index] if isinstance(body, list) and step.index < len(body) else None
            elif step.member is not None:
                items = body if isinstance(body, list) else []
                body = next((item for item in items if _has(item, step.member)), None)
        return body


def _step(match: re.Match[str] | None) -> _Step:
    if match is None:
        raise ValueError(FORM)
    member = (match["key"], match["value"]) if match["key"] else None
    return _Step(match["name"], int(match["index"]) if match["index"] else None, member)


def _entered(place: Any, step: _Step) -> Any:
    """The object that *step* leads to below *place*, made where it is missing."""
    if step.member is None and step.index is None:
        return place.setdefault(step.name, {})
    items = place.setdefault(step.name, [])
    if step.index is not None:
        items.extend({} for _ in range(step.index + 1 - len(items)))
        return items[step.index]
    found = next((item for item in items if _has(item, step.member)), None)
    if found is None:
        key, value = step.member or ("", "")
        found = {key: value}
        items.append(found)
    return found


def _has(item: Any, member: tuple[str, str] | None) -> bool:
    return isinstance(item, dict) and member is not None and item.get(member[0]) == member[1]
