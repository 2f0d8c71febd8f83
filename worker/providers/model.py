"""One model's fields, limits and price, as data, and the check of a spec against them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from worker.jobs.storyboard import render

if TYPE_CHECKING:
    from worker.jobs.spec import JobSpec

IMAGE_FIELDS = ("first_frame", "last_frame")
ASKABLE = (
    "prompt",
    "first_frame",
    "last_frame",
    "negative_prompt",
    "duration",
    "resolution",
    "aspect_ratio",
    "sound",
    "watermark",
    "shots",
)
"""The fields that a model may or may not take; the others are Callsheet's own."""


@dataclass(frozen=True)
class ModelRules:
    """One model of one provider. Lengths are characters, durations whole seconds."""

    provider: str
    name: str  # the provider's own, as it goes over the wire
    source: str  # the vendor's page
    fields: Mapping[str, str]  # neutral name -> wire name: what the model takes
    answers_to: tuple[str, ...] = ()  # neutral model names
    required: tuple[tuple[str, ...], ...] = ()  # of each group at least one must be given
    excluded_by: Mapping[str, str] = field(default_factory=dict)  # field -> the field beside which it has no effect
    lengths: Mapping[str, int] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    durations: tuple[int, int] = (3, 15)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # what the provider does when a field is left out
    shot_marker: str | None = None  # None: the model reads no storyboard
    takes_inline_images: bool = False
    price_per_second: Mapping[str, Decimal] = field(default_factory=dict)  # by resolution; empty: unknown
    configured_prices: Mapping[str, Decimal] = field(default_factory=dict)  # the same, of whoever runs us; "": any
    currency: str = "USD"

    @property
    def title(self) -> str:
        return f"{self.provider} {self.name}"

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
        resolution = spec.resolution or self.defaults.get("resolution", "")
        own = self.configured_prices.get(resolution, self.configured_prices.get(""))
        price = self.price_per_second.get(resolution) if own is None else own
        if price is None:
            return None
        return {
            "amount": str(price * self.duration(spec)),
            "currency": self.currency,
            "basis": "list_price" if own is None else "configured_price",
        }

    def problems(self, spec: JobSpec, unread: Collection[str] = ()) -> list[str]:
        """Why the model cannot make *spec*: each names field, limit and model. Empty: it can.

        *unread* names fields that were given but could not be read.
        """
        given = [name for name in ASKABLE if getattr(spec, name) is not None or name in unread]
        return [*self._field_problems(given), *self._limit_problems(spec)]

    def _takes(self, name: str) -> bool:
        return name in self.fields or (name == "shots" and self.shot_marker is not None)

    def _field_problems(self, given: Sequence[str]) -> Iterator[str]:
        taken = [name for name in ASKABLE if self._takes(name)]
        for name in given:
            if not self._takes(name):
                yield f"{name}: is not taken by {self.title}; it takes {', '.join(taken)}"
            elif self.excluded_by.get(name) in given:
                yield f"{name}: has no effect beside {self.excluded_by[name]} on {self.title}; leave it out"
        for group in self.required:
            if not set(group) & set(given):
                yield f"{group[0]}: {self.title} needs {' or '.join(group)}"

    def _limit_problems(self, spec: JobSpec) -> Iterator[str]:
        texts = {"prompt": self.prompt(spec), "negative_prompt": spec.negative_prompt}
        for name, limit in self.lengths.items():
            text = texts.get(name)
            if text is not None and len(text) > limit:
                what = "shots: written into the prompt they have" if name == "prompt" and spec.shots else f"{name}: has"
                yield f"{what} {len(text)} characters; {self.title} takes at most {limit}"
        for name, values in self.choices.items():
            if getattr(spec, name) not in (None, *values):
                yield f"{name}: {self.title} takes {', '.join(values)}"
        low, high = self.durations
        if spec.seconds is not None and not low <= spec.seconds <= high:
            what = "duration: is" if spec.duration is not None else "shots: their seconds add up to"
            yield f"{what} {spec.seconds}; {self.title} makes {low} to {high} seconds"


def priced(models: Mapping[str, ModelRules], prices: Mapping[tuple[str, str], Decimal]) -> dict[str, ModelRules]:
    """*models* with *prices*, (model, resolution; "": any) -> per second, before the vendor's.

    Raises `ValueError` for a model or a resolution that is not there.
    """
    changed = dict(models)
    for (name, resolution), price in prices.items():
        rules = changed.get(name)
        if rules is None or (resolution and resolution not in rules.choices.get("resolution", ())):
            raise ValueError(f"{name}@{resolution}" if rules else name)
        changed[name] = replace(rules, configured_prices={**rules.configured_prices, resolution: price})
    return changed


def find_rules(models: Mapping[str, ModelRules], spec: JobSpec) -> ModelRules | None:
    """The model that *spec* asks for, by its own name or a neutral one; None if it is not there.

    Where two models share a neutral name, the presence of a first frame decides.
    """
    if spec.model in models:
        return models[spec.model]
    named = [rules for rules in models.values() if spec.model in rules.answers_to]
    has_frame = spec.first_frame is not None
    return min(named, key=lambda rules: ("first_frame" in rules.fields) != has_frame, default=None)


def model_names(models: Mapping[str, ModelRules]) -> list[str]:
    """Every name under which *models* can be asked for, own names first."""
    return list(dict.fromkeys([*models, *(name for rules in models.values() for name in rules.answers_to)]))
