"""One field of a model: its place on the wire, its type there, and the values that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as member
from enum import StrEnum
from typing import Any

from worker.providers.wire_path import WirePath


class FieldType(StrEnum):
    """The JSON type of a field on the wire, and the form of its values."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ON_OFF = "on_off"  # true and false as words, "on" and "off" unless the model has others
    URL = "url"
    URL_LIST = "url_list"
    STRING_INTEGER = "string_integer"  # a whole number within quotes
    SHOTS = "shots"  # a list of {"prompt": text, "duration": whole seconds}
    NUMBERED_SHOTS = "numbered_shots"  # the same, each with its "index", from 1


T = FieldType

TYPES: Mapping[str, frozenset[FieldType]] = {
    "prompt": frozenset({T.STRING}),
    "first_frame": frozenset({T.URL}),
    "last_frame": frozenset({T.URL}),
    "reference_images": frozenset({T.URL_LIST}),
    "reference_videos": frozenset({T.URL_LIST}),
    "negative_prompt": frozenset({T.STRING}),
    "duration": frozenset({T.INTEGER, T.STRING_INTEGER}),
    "resolution": frozenset({T.STRING}),
    "aspect_ratio": frozenset({T.STRING}),
    "mode": frozenset({T.STRING}),
    "sound": frozenset({T.BOOLEAN, T.ON_OFF}),
    "watermark": frozenset({T.BOOLEAN, T.ON_OFF}),
    "seed": frozenset({T.INTEGER, T.STRING_INTEGER}),
    "cfg_scale": frozenset({T.NUMBER}),
    "shots": frozenset({T.SHOTS, T.NUMBERED_SHOTS}),
}
"""The neutral fields that a model may or may not take, in the order in which they are told, with the types that each
can have on the wire. The other fields of a spec are Callsheet's own."""

_PYTHON: Mapping[FieldType, tuple[type, ...]] = {
    T.STRING: (str,),
    T.URL: (str,),
    T.INTEGER: (int,),
    T.STRING_INTEGER: (int,),
    T.NUMBER: (int, float),
    T.BOOLEAN: (bool,),
    T.ON_OFF: (bool,),
    T.URL_LIST: (list, tuple),
    T.SHOTS: (list, tuple),
    T.NUMBERED_SHOTS: (list, tuple),
}
_WANTED: Mapping[FieldType, str] = {
    T.STRING: "text",
    T.URL: "an https URL",
    T.INTEGER: "a whole number",
    T.STRING_INTEGER: "a whole number",
    T.NUMBER: "a number",
    T.BOOLEAN: "true or false",
    T.ON_OFF: "true or false",
    T.URL_LIST: "a list of https URLs",
    T.SHOTS: "a list of shots",
    T.NUMBERED_SHOTS: "a list of shots",
}
_ENCODE: Mapping[FieldType, Callable[[Any], Any]] = {
    T.STRING_INTEGER: str,
    T.URL_LIST: list,
    T.SHOTS: lambda shots: [{"prompt": shot.prompt, "duration": shot.seconds} for shot in shots],
    T.NUMBERED_SHOTS: lambda shots: [
        {"index": number, "prompt": shot.prompt, "duration": shot.seconds} for number, shot in enumerate(shots, 1)
    ],
}


@dataclass(frozen=True)
class Field:
    """One field of a model. `values` and `range` are of the neutral value; lengths are characters, or items of a list.

    `not_with` and `only_with` name fields beside which it must not, or must, be given; `also`: constants sent with it.
    """

    wire: WirePath
    type: FieldType
    values: tuple[Any, ...] = ()
    range: tuple[float, float] | None = None
    characters: int | None = None
    items: tuple[int, int] | None = None
    default: Any = None  # of the provider, where the field is left out
    is_required: bool = False
    words: tuple[str, str] = ("on", "off")  # of an on_off field, for true and false
    takes_inline: bool = False  # an image's content, as a data: URI
    not_with: tuple[str, ...] = ()
    only_with: tuple[str, ...] = ()
    also: Mapping[WirePath, Any] = member(default_factory=dict)

    @classmethod
    def plain(cls, wire: str, kind: FieldType = T.STRING) -> Field:
        """A field without limits."""
        return cls(WirePath.parse(wire), kind)

    def encoded(self, value: Any) -> Any:
        """A neutral value as it stands on the wire."""
        if self.type is T.ON_OFF:
            return self.words[0] if value else self.words[1]
        encode = _ENCODE.get(self.type)
        return encode(value) if encode else value

    def limits(self) -> str:
        """The values it takes, in words; empty: any of its type."""
        if self.values:
            return ", ".join(map(_shown, self.values))
        if self.range:
            return f"{_shown(self.range[0])} to {_shown(self.range[1])}"
        return ""

    def takes(self, value: Any) -> bool:
        """Whether *value* is among the values, or within the range."""
        if self.values and value not in self.values:
            return False
        return self.range is None or self.range[0] <= value <= self.range[1]

    def problems(self, value: Any, title: str) -> Iterator[str]:
        """Why the model *title* does not take *value*, as ends of `<field>: ...`."""
        if self.characters is not None and isinstance(value, str) and len(value) > self.characters:
            yield f"has {len(value)} characters; {title} takes at most {self.characters}"
        if isinstance(value, list | tuple):
            low, high = self.items or (0, len(value))
            if not low <= len(value) <= high:
                yield f"has {len(value)} items; {title} takes {low} to {high}"
        elif not self.takes(value):
            yield f"{title} takes {self.limits()}"

    def type_problems(self, value: Any, title: str) -> Iterator[str]:
        """The same for a value whose type no spec has checked yet."""
        if self._is_of_type(value):
            yield from self.problems(value, title)
        else:
            yield f"must be {_WANTED[self.type]} on {title}"

    def _is_of_type(self, value: Any) -> bool:
        if isinstance(value, bool) and self.type not in (T.BOOLEAN, T.ON_OFF):
            return False
        if self.type is T.URL_LIST:
            return isinstance(value, list | tuple) and all(_is_url(item) for item in value)
        return isinstance(value, _PYTHON[self.type]) and (self.type is not T.URL or _is_url(value))


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("https://")
