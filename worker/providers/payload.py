"""Write one model's fields for the wire, and recognise an echo of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.jobs.images import is_same_image
from worker.jobs.spec import JobSpec
from worker.providers.field import Field, FieldType
from worker.providers.model import ModelRules
from worker.providers.wire_path import WirePath

URLS = (FieldType.URL, FieldType.URL_LIST)


def payload(rules: ModelRules, spec: JobSpec, images: Mapping[str, str]) -> dict[str, Any]:
    """The payload of a submit of *spec*: the declared fields that were asked for, and the model's constants.

    *images* holds the final value of each picture and reference, by neutral name (`reference_images[0]` in a list).
    """
    body: dict[str, Any] = {}
    for name, field in rules.fields.items():
        value = _final(name, rules, spec, images)
        if value is None:
            continue
        field.wire.put(body, field.encoded(value))
        for path, constant in field.also.items():
            path.put(body, constant)
    for name, value in (spec.extra or {}).items():
        if name in rules.extra:
            WirePath.parse(name).put(body, rules.extra[name].encoded(value))
    for path, constant in rules.constants.items():
        path.put(body, constant)
    return body


def is_echo(rules: ModelRules, spec: JobSpec, echoed: Mapping[str, Any]) -> bool:
    """Whether *echoed* is what a submit of *spec* sent; the provider may have filled in its defaults."""
    fields = rules.fields
    asked = {name for name in fields if _asked(name, rules, spec) is not None}
    shared = {(fields[name].wire.steps[0].name, fields[name].type) for name in asked}
    for name, field in fields.items():
        # frames and references may go to one list, which is not both
        other = FieldType.URL if field.type is FieldType.URL_LIST else FieldType.URL_LIST
        if name not in asked and field.type in URLS and (field.wire.steps[0].name, other) in shared:
            continue
        if not _agrees(name, field, rules, spec, field.wire.get(echoed)):
            return False
    extra = {name: value for name, value in (spec.extra or {}).items() if name in rules.extra}
    return all(rules.extra[name].wire.get(echoed) == rules.extra[name].encoded(extra[name]) for name in extra)


def _asked(name: str, rules: ModelRules, spec: JobSpec) -> Any:
    """The value of a field as asked for; the storyboard may be part of the prompt."""
    if name == "prompt":
        return rules.prompt(spec)
    return spec.seconds if name == "duration" else getattr(spec, name)


def _final(name: str, rules: ModelRules, spec: JobSpec, images: Mapping[str, str]) -> Any:
    """The value to send."""
    asked = _asked(name, rules, spec)
    if rules.fields[name].type not in URLS:
        return asked
    if isinstance(asked, tuple):
        return [images[f"{name}[{number}]"] for number in range(len(asked))]
    return images.get(name)


def _agrees(name: str, field: Field, rules: ModelRules, spec: JobSpec, echoed: Any) -> bool:
    asked = _asked(name, rules, spec)
    if field.type is FieldType.URL:
        return is_same_image(asked, echoed)
    if field.type is FieldType.URL_LIST:
        told = echoed if isinstance(echoed, list) else [] if echoed is None else [echoed]
        return len(told) == len(asked or ()) and all(map(is_same_image, asked or (), told))
    if asked is not None:
        return bool(echoed == field.encoded(asked)) or str(echoed) == str(field.encoded(asked))
    return echoed in (None, "") or (field.default is not None and str(echoed) == str(field.encoded(field.default)))
