"""The shape of a catalogue's file: what may stand in it, checked whole, and made into rules."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from worker.guard.urls import HttpsUrl
from worker.providers import field as fields
from worker.providers.field import TYPES, FieldType
from worker.providers.model import ALWAYS, ModelRules
from worker.providers.price import Price
from worker.providers.wire_path import WirePath

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def _https(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("must be an https URL")
    return text


def _base(text: str) -> str:
    return HttpsUrl.parse(text).text.rstrip("/")


def _path(text: str) -> str:
    WirePath.parse(text)
    return text


def _neutral(name: str) -> str:
    if name not in TYPES:
        raise ValueError(f"is not a field of a spec; fields are {', '.join(TYPES)}")
    return name


def _amount(text: str) -> str:
    if not Decimal(text).is_finite() or Decimal(text) < 0:
        raise ValueError("must be an amount such as 0.112")
    return text


Wire = Annotated[str, AfterValidator(_path)]
Page = Annotated[str, AfterValidator(_https)]
Neutral = Annotated[str, AfterValidator(_neutral)]
Names = tuple[Neutral, ...]
Values = str | int | float | bool


class _Entry(BaseModel):
    model_config = _STRICT


class FieldEntry(_Entry):
    """One field of a model."""

    type: Annotated[FieldType, Field(strict=False)]
    wire: Wire | None = None
    values: Annotated[tuple[Values, ...], Field(strict=False)] = ()
    range: Annotated[tuple[int | float, int | float], Field(strict=False)] | None = None
    characters: Annotated[int, Field(ge=1)] | None = None
    items: Annotated[tuple[int, int], Field(strict=False)] | None = None
    default: Values | None = None
    words: Annotated[tuple[str, str], Field(strict=False)] = ("on", "off")
    required: bool = False
    inline: bool = False
    not_with: Annotated[Names, Field(strict=False)] = ()
    only_with: Annotated[Names, Field(strict=False)] = ()
    also: dict[Wire, Any] = {}

    def rules(self, name: str) -> fields.Field:
        return fields.Field(
            wire=WirePath.parse(self.wire or name),
            type=self.type,
            values=self.values,
            range=self.range,
            characters=self.characters,
            items=self.items,
            default=self.default,
            words=self.words,
            is_required=self.required,
            takes_inline=self.inline,
            not_with=self.not_with,
            only_with=self.only_with,
            also={WirePath.parse(path): value for path, value in self.also.items()},
        )


class PriceEntry(_Entry):
    """One list price, with the conditions under which it holds."""

    usd: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,6})?$"), AfterValidator(_amount)]
    per: Literal["second", "video"]
    resolution: str | None = None
    sound: bool | None = None
    mode: str | None = None
    source: Page
    read: datetime.date

    def price(self) -> Price:
        return Price(Decimal(self.usd), self.per, self.resolution, self.sound, self.mode, self.source, self.read)


class ModelEntry(_Entry):
    """One model."""

    fields: dict[Neutral, FieldEntry]
    source: Page
    read: datetime.date
    wire_id: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = None
    path: Annotated[str, Field(pattern=r"^/[!-~]{1,200}$")] | None = None
    answers_to: dict[str, str] = {}
    needs: Annotated[tuple[Annotated[Names, Field(strict=False)], ...], Field(strict=False)] = ()
    one_of: Annotated[tuple[Annotated[Names, Field(strict=False)], ...], Field(strict=False)] = ()
    shot_marker: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    constants: dict[Wire, Any] = {}
    extra: dict[Wire, FieldEntry] = {}
    prices: Annotated[tuple[PriceEntry, ...], Field(strict=False)] = ()

    def rules(self, provider: str, name: str) -> ModelRules:
        return ModelRules(
            provider=provider,
            name=name,
            source=self.source,
            fields={neutral: entry.rules(neutral) for neutral, entry in self.fields.items()},
            wire_id=self.wire_id or name,
            path=self.path,
            read=self.read,
            answers_to=self.answers_to,
            needs=self.needs,
            one_of=self.one_of,
            extra={wire: entry.rules(wire) for wire, entry in self.extra.items()},
            constants={WirePath.parse(path): value for path, value in self.constants.items()},
            shot_marker=self.shot_marker,
            prices=tuple(entry.price() for entry in self.prices),
        )

    def problems(self) -> Iterator[str]:
        """Check the fields against each other, each problem as `<key>: <words>`."""
        for name, entry in self.fields.items():
            yield from (f"fields.{name}.{problem}" for problem in _field_problems(name, entry))
        taken = {*self.fields, *(["shots"] if self.shot_marker else [])}
        for key, groups in (("needs", self.needs), ("one_of", self.one_of)):
            strange = sorted({name for group in groups for name in group} - taken)
            if strange:
                yield f"{key}: names {', '.join(strange)}, which is not among its fields"
        yield from self._wire_problems()
        for neutral, condition in self.answers_to.items():
            word, _, name = condition.partition(" ")
            if condition != ALWAYS and (word not in ("with", "without") or name not in TYPES):
                yield f"answers_to.{shown(neutral)}: must be always, or such as with first_frame, without first_frame"
        if self.shot_marker and ("shots" in self.fields or "prompt" not in self.fields):
            yield "shot_marker: writes shots into the prompt: it needs the field prompt, and no field shots"
        known = self.fields["resolution"].values if "resolution" in self.fields else ()
        for number, price in enumerate(self.prices):
            if price.resolution is not None and known and price.resolution not in known:
                yield f"prices[{number}].resolution: is none of {', '.join(map(str, known))}"

    def _wire_problems(self) -> Iterator[str]:
        places = [entry.wire or name for name, entry in self.fields.items()]
        places += [*self.extra, *self.constants]
        twice = sorted({place for place in places if places.count(place) > 1})
        if twice:
            yield f"fields: {', '.join(twice)} is the place of two of them on the wire"


class About(_Entry):
    """A provider, as its own documents describe it."""

    title: str
    base_url: Annotated[str, AfterValidator(_base)]
    documents: Annotated[tuple[Page, ...], Field(strict=False)]
    failures_are_free: bool = False
    failures_source: str | None = None
    link_seconds: Annotated[int, Field(ge=60)] | None = None
    estimate_base_seconds: float = 20.0
    estimate_factor: float = 2.0
    limits: str | None = None


@dataclass(frozen=True)
class ProviderEntry:
    """One provider and its models."""

    about: About
    models: Mapping[str, ModelRules]


def shown(name: object) -> str:
    """A key as it may stand in one line of a message."""
    text = str(name)[:100]
    return text if text.isprintable() else ascii(text)


def about(table: Any) -> tuple[About | None, list[str]]:
    """Read the table `about`, or say by key why it is none."""
    try:
        return About.model_validate(table), []
    except ValidationError as err:
        return None, _told(err)


def model(provider: str, name: str, table: Any) -> tuple[ModelRules | None, list[str]]:
    """Read one model's table, or say by key why it is none."""
    try:
        entry = ModelEntry.model_validate(table)
    except ValidationError as err:
        return None, _told(err)
    problems = list(entry.problems())
    return (None, problems) if problems else (entry.rules(provider, name), [])


def _field_problems(name: str, entry: FieldEntry) -> Iterator[str]:
    """The problems of one field, each as `<key>: <words>`."""
    allowed = TYPES[name]
    if entry.type not in allowed:
        yield f"type: must be {' or '.join(sorted(allowed))} for {name}"
    elif entry.default is not None and not entry.rules(name).takes(entry.default):
        yield f"default: is not among what it takes, {entry.rules(name).limits()}"
    if entry.range and entry.range[0] > entry.range[1]:
        yield "range: must be the least and the greatest value"
    if name in (*entry.not_with, *entry.only_with):
        yield "not_with: must not name the field itself"


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a key here",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "date_type": "must be a date, without quotes, such as 2026-11-20",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def _told(err: ValidationError) -> list[str]:
    return list(dict.fromkeys(_lines(err.errors(include_url=False, include_input=False))))


def _lines(errors: Iterable[Any]) -> Iterator[str]:
    for error in errors:
        loc = [part for part in error["loc"] if part != "[key]"]
        words = _WORDS.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
        yield f"{_place(loc)}: {words}"


def _place(loc: Iterable[int | str]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{shown(part)}" if text else shown(part)
    return text[:120]
