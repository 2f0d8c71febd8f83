"""Write one model's fields for the wire, and recognise an echo of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.jobs.images import is_same_image
from worker.jobs.spec import JobSpec
from worker.providers.model import IMAGE_FIELDS, ModelRules


@dataclass(frozen=True)
class Payload:
    """One model's wire form. `names` overrides its wire names, `encoded` writes a value as the vendor wants it."""

    rules: ModelRules
    names: Mapping[str, str]
    encoded: Callable[[Any], Any]

    def values(self, spec: JobSpec, images: Mapping[str, str]) -> dict[str, Any]:
        """The payload of a submit of *spec*, by wire name; *images* holds the final value of each image field."""
        asked = {
            **{field: getattr(spec, field) for field in self.rules.fields},
            **{field: images.get(field) for field in IMAGE_FIELDS if field in self.rules.fields},
            "prompt": self.rules.prompt(spec),
            "duration": spec.seconds,
        }
        return {self._name(field): self.encoded(value) for field, value in asked.items() if value is not None}

    def is_echo(self, spec: JobSpec, echoed: Mapping[str, Any]) -> bool:
        """Whether *echoed* is what a submit of *spec* sent; the provider may have filled in its defaults."""
        sent = self.values(spec, {})
        return all(self._agrees(field, spec, sent, echoed.get(self._name(field))) for field in self.rules.fields)

    def _agrees(self, field: str, spec: JobSpec, sent: Mapping[str, Any], echoed: Any) -> bool:
        if field in IMAGE_FIELDS:
            return is_same_image(getattr(spec, field), echoed)
        value = sent.get(self._name(field))
        if value is not None:
            return str(echoed) == str(value)
        default = self.rules.defaults.get(field)
        return echoed in (None, "") or (default is not None and str(echoed) == str(self.encoded(default)))

    def _name(self, field: str) -> str:
        return self.names.get(field, self.rules.fields[field])
