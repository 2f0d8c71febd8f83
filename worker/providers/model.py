"""One model's fields, limits and price, as data, and the check of a spec against them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from worker.jobs.storyboard import render
from worker.providers.field import TYPES, Field
from worker.providers.price import CURRENCY, Price, price_of
from worker.providers.wire_path import WirePath

if TYPE_CHECKING:
    from worker.jobs.spec import JobSpec

IMAGE_FIELDS = ("first_frame", "last_frame")
LINK_LISTS = ("reference_images", "reference_videos")
ASKABLE = tuple(TYPES)
"""The fields that a model may or may not take; the others are Callsheet's own."""

ALWAYS = "always"
SIMILAR = 5
"""Most names that are told to a caller whose model is not there."""


@dataclass(frozen=True)
class ModelRules:
    """One model of one provider. `name` is Callsheet's, as it stands in records; `wire_id` is the provider's."""

    provider: str
    name: str
    source: str  # the vendor's page
    fields: Mapping[str, Field]  # by neutral name: what the model takes
    wire_id: str = ""
    path: str | None = None  # of its submit; None: the provider's own
    read: date | None = None  # when the page was read
    answers_to: Mapping[str, str] = field(default_factory=dict)  # neutral model name -> "always", "with f", "without f"
    needs: tuple[tuple[str, ...], ...] = ()  # of each group at least one must be given
    one_of: tuple[tuple[str, ...], ...] = ()  # of each group at most one may be given
    extra: Mapping[str, Field] = field(default_factory=dict)  # by wire name: what a spec's `extra` may hold
    constants: Mapping[WirePath, Any] = field(default_factory=dict)  # sent always
    shot_marker: str | None = None  # with which a storyboard is written into the prompt; None: it is not
    prices: tuple[Price, ...] = ()  # the first that fits counts; none: unknown
    configured_prices: Mapping[str, Decimal] = field(default_factory=dict)  # per second by resolution; "": any
    currency: str = CURRENCY

    @property
    def title(self) -> str:
        return f"{self.provider} {self.name}"

    @property
    def taken(self) -> list[str]:
        """The neutral fields that it takes, in their order."""
        return [name for name in ASKABLE if name in self.fields or (name == "shots" and self.shot_marker is not None)]

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """Of each group at least one must be given; single fields are groups of one."""
        single = ((name,) for name, taken in self.fields.items() if taken.is_required)
        return (*single, *self.needs)

    @property
    def defaults(self) -> dict[str, Any]:
        """The provider's own values for fields that are left out, as far as it tells them."""
        return {name: taken.default for name, taken in self.fields.items() if taken.default is not None}

    @property
    def takes_inline_images(self) -> bool:
        return any(taken.takes_inline for taken in self.fields.values())

    @property
    def price_per_second(self) -> dict[str, Decimal]:
        """The list prices that go by the resolution alone ("": by nothing)."""
        plain = (price for price in self.prices if price.per == "second" and price.sound is None and price.mode is None)
        return {price.resolution or "": price.usd for price in plain}

    def prompt(self, spec: JobSpec) -> str | None:
        """The prompt as it goes over the wire, the storyboard written out."""
        if spec.shots and self.shot_marker:
            return render(spec.shots, self.shot_marker)
        return spec.prompt

    def duration(self, spec: JobSpec) -> int:
        """The seconds that will be made and billed."""
        return spec.seconds if spec.seconds is not None else int(self.defaults.get("duration", 5))

    def kind(self, spec: JobSpec) -> str:
        """The seconds and the resolution that will be made, which is what a generation's time goes by: `5/720p`."""
        return f"{self.duration(spec)}/{spec.resolution or self.defaults.get('resolution', '')}"

    def cost(self, spec: JobSpec) -> dict[str, str] | None:
        """The price of *spec*, the vendor's list price unless another is configured; None where it is not known."""
        made = {**self.defaults, **{name: value for name in ASKABLE if (value := getattr(spec, name)) is not None}}
        resolution, seconds = made.get("resolution", ""), self.duration(spec)
        own = self.configured_prices.get(resolution, self.configured_prices.get(""))
        listed = price_of(self.prices, resolution, sound=made.get("sound"), mode=made.get("mode"))
        if own is None and listed is None:
            return None
        amount = own * seconds if own is not None else listed.of(seconds) if listed else None
        return {
            "amount": str(amount),
            "currency": self.currency,
            "basis": "list_price" if own is None else "configured_price",
        }

    def problems(self, spec: JobSpec, unread: Collection[str] = ()) -> list[str]:
        """Why the model cannot make *spec*: each names field, limit and model. Empty: it can.

        *unread* names fields that were given but could not be read.
        """
        given = [name for name in ASKABLE if getattr(spec, name) is not None or name in unread]
        return [*self._field_problems(given), *self._limit_problems(spec), *self._extra_problems(spec.extra or {})]

    def _field_problems(self, given: Sequence[str]) -> Iterator[str]:
        for name in given:
            if name not in self.taken:
                yield f"{name}: is not taken by {self.title}; it takes {', '.join(self.taken)}"
                continue
            rules = self.fields.get(name)
            for other in rules.not_with if rules else ():
                if other in given:
                    yield f"{name}: does not go with {other} on {self.title}; leave it out"
            if rules and rules.only_with and not set(rules.only_with) & set(given):
                yield f"{name}: {self.title} takes it only with {' or '.join(rules.only_with)}"
        for group in self.required:
            if not set(group) & set(given):
                yield f"{group[0]}: {self.title} needs {' or '.join(group)}"
        for group in self.one_of:
            both = [name for name in group if name in given]
            if len(both) > 1:
                yield f"{both[1]}: {self.title} takes only one of {', '.join(both)}"

    def _limit_problems(self, spec: JobSpec) -> Iterator[str]:
        for name, rules in self.fields.items():
            value = self.prompt(spec) if name == "prompt" else getattr(spec, name)
            if name == "duration":
                yield from self._duration_problems(spec, rules)
            elif value is not None:
                told = "shots: written into the prompt they {}" if name == "prompt" and spec.shots else f"{name}: {{}}"
                for problem in rules.problems(value, self.title):
                    yield told.format(problem).replace("they has", "they have")

    def _duration_problems(self, spec: JobSpec, rules: Field) -> Iterator[str]:
        if spec.seconds is not None and not rules.takes(spec.seconds):
            what = "duration: is" if spec.duration is not None else "shots: their seconds add up to"
            yield f"{what} {spec.seconds}; {self.title} makes {rules.limits()} seconds"

    def _extra_problems(self, extra: Mapping[str, Any]) -> Iterator[str]:
        for name, value in extra.items():
            rules = self.extra.get(name)
            if rules is None:
                declared = f"; declared are {', '.join(self.extra)}" if self.extra else ""
                yield f"extra: holds a name that is not declared for {self.title}{declared}"
            else:
                yield from (f"extra.{name}: {problem}" for problem in rules.type_problems(value, self.title))


def priced(models: Mapping[str, ModelRules], prices: Mapping[tuple[str, str], Decimal]) -> dict[str, ModelRules]:
    """*models* with *prices*, (model, resolution; "": any) -> per second, before the vendor's.

    Raises `ValueError` for a model or a resolution that is not there.
    """
    changed = dict(models)
    for (name, resolution), price in prices.items():
        rules = changed.get(name)
        known = rules.fields["resolution"].values if rules and "resolution" in rules.fields else ()
        if rules is None or (resolution and resolution not in known):
            raise ValueError(f"{name}@{resolution}" if rules else name)
        changed[name] = replace(rules, configured_prices={**rules.configured_prices, resolution: price})
    return changed


def renamed(models: Mapping[str, ModelRules], names: Mapping[str, str]) -> dict[str, ModelRules]:
    """*models* with other wire names (neutral -> theirs) for the fields that they take."""
    paths = {name: WirePath.parse(wire) for name, wire in names.items()}
    return {
        key: replace(rules, fields={name: replace(f, wire=paths.get(name, f.wire)) for name, f in rules.fields.items()})
        for key, rules in models.items()
    }


def find_rules(models: Mapping[str, ModelRules], spec: JobSpec) -> ModelRules | None:
    """The model that *spec* asks for, by its own name or a neutral one; None if it is not there.

    Of several models with one neutral name, the first whose condition holds; if none does, the first, whose problems
    then say what it needs.
    """
    if spec.model in models:
        return models[spec.model]
    named = [rules for rules in models.values() if spec.model in rules.answers_to]
    return min(named, key=lambda rules: not _holds(rules.answers_to[spec.model], spec), default=None)


def _holds(condition: str, spec: JobSpec) -> bool:
    word, _, name = condition.partition(" ")
    return word == ALWAYS or (getattr(spec, name) is not None) == (word == "with")


def similar(asked: str, models: Iterable[Mapping[str, ModelRules]]) -> str:
    """Words for a caller whose model is not there: the names that are like *asked*, which is not repeated."""
    known = sorted({name for each in models for name in model_names(each)})
    close = get_close_matches(asked, known, SIMILAR, 0.5)
    told = f"similar are {', '.join(close)}; " if close else ""
    return f"{told}`callsheet models` lists all"


def model_names(models: Mapping[str, ModelRules]) -> list[str]:
    """Every name under which *models* can be asked for, own names first."""
    return list(dict.fromkeys([*models, *(name for rules in models.values() for name in rules.answers_to)]))
