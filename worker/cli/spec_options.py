"""From the command line to a spec: options, or a JSON document.

Nothing is judged here beyond the shape of the words: `parse_spec` and the
models find what is wrong, all of it at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeVar

import click

from worker.errors import SpecError

F = TypeVar("F", bound=Callable[..., Any])

SPEC_BYTES = 8 * 1024 * 1024
"""Most of a document that is read: above what any spec may hold."""

FIELDS = (
    click.option("--model", metavar="NAME", help="A provider's own name, or a neutral one such as kling-3.0-turbo."),
    click.option("--provider", metavar="NAME", help="Who makes it; without, the first that can."),
    click.option("--prompt", metavar="TEXT", help="What is to be seen."),
    click.option("--first-frame", metavar="IMAGE", help="https:// URL, s3://bucket/key or data: URI."),
    click.option("--last-frame", metavar="IMAGE", help="The same forms."),
    click.option("--negative-prompt", metavar="TEXT", help="What is not to be seen."),
    click.option("--duration", metavar="SECONDS", help="Whole seconds."),
    click.option("--resolution", metavar="NAME", help="Such as 720p or 1080p."),
    click.option("--aspect-ratio", metavar="W:H", help="Such as 16:9, 9:16 or 1:1."),
    click.option("--sound/--no-sound", default=None, help="With or without sound."),
    click.option("--watermark/--no-watermark", default=None, help="With or without the provider's mark."),
    click.option("--mode", metavar="NAME", help="A model's own, such as std or pro."),
    click.option("--seed", metavar="NUMBER", help="The same number, a similar video."),
    click.option("--cfg-scale", metavar="NUMBER", help="How closely the prompt is followed."),
    click.option(
        "--reference-image", "reference_images", metavar="IMAGE", multiple=True, help="A picture to go by; repeat it."
    ),
    click.option(
        "--reference-video", "reference_videos", metavar="VIDEO", multiple=True, help="A video to go by; repeat it."
    ),
    click.option(
        "--extra", metavar="NAME=JSON", multiple=True, help="A field of the provider's that `models` declares."
    ),
    click.option(
        "--shot", "shots", metavar="SECONDS:PROMPT", multiple=True, help="One shot of a storyboard; repeat it."
    ),
    click.option("--tenant", metavar="NAME", help="For whom: lists and money go by it."),
    click.option("--max-cost", metavar="USD", help="Refuse it rather than pay more, or an unknown price."),
    click.option("--give-up-after", metavar="SECONDS", help="From now on; then it is not submitted any more."),
    click.option("--not-before", metavar="INSTANT", help="Such as 2026-12-01T08:00:00Z or Unix seconds."),
    click.option("--notify-url", metavar="URL", help="Where its end is told by a signed POST."),
    click.option(
        "--metadata", metavar="KEY=VALUE", multiple=True, help="Returned untouched with the result; repeat it."
    ),
)


def spec_options(verb: F) -> F:
    """Give *verb* an option for every field of a spec."""
    for option in reversed(FIELDS):
        verb = option(verb)
    return verb


def given_spec(document: BinaryIO | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a command line, from the document or from the options, never mixed."""
    from_options = spec_from_options(options)
    if document is None:
        if not from_options:
            raise click.UsageError("give a spec: --model and what it is to show, or --spec FILE")
        return from_options
    if from_options:
        given = ", ".join(f"--{name.replace('_', '-')}" for name in from_options)
        raise click.UsageError(f"--spec gives the whole spec; leave out {given}")
    return spec_from_json(document.read(SPEC_BYTES + 1))


def spec_from_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The spec that *options* describe; what was not given is left out."""
    spec = {name: value for name, value in options.items() if value is not None and value != ()}
    for name in ("duration", "seed", "cfg_scale", "give_up_after", "not_before"):
        if name in spec:
            spec[name] = _number(spec[name])
    for name in ("reference_images", "reference_videos"):
        if name in spec:
            spec[name] = list(spec[name])
    if "extra" in spec:
        spec["extra"] = {name: _json(text) for name, text in map(partial(_pair, "--extra"), spec["extra"])}
    if "shots" in spec:
        spec["shots"] = [_shot(text) for text in spec["shots"]]
    if "metadata" in spec:
        spec["metadata"] = dict(_pair("--metadata", text) for text in spec["metadata"])
    return spec


def spec_from_json(document: bytes) -> dict[str, Any]:
    """The spec that *document* holds; raises `SpecError` when it is not one JSON object."""
    if len(document) > SPEC_BYTES:
        raise SpecError([f"the spec is over {SPEC_BYTES // 2**20} MiB"])
    try:
        spec = json.loads(document, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as err:
        raise SpecError([f"the spec is not JSON: {err.msg} in line {err.lineno}, column {err.colno}"]) from None
    except UnicodeDecodeError:
        raise SpecError(["the spec is not JSON: it is not UTF-8"]) from None
    except RecursionError:
        raise SpecError(["the spec is nested too deep"]) from None
    except ValueError as err:
        raise SpecError([f"the spec is not JSON: {err}"]) from None
    if not isinstance(spec, dict):
        raise SpecError(["the spec must be one JSON object of fields, such as model and prompt"])
    return spec


def _number(text: str) -> int | float | str:
    """Numbers as numbers; the rest as it is, to be refused beside all other problems."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", text) else text


def _json(text: str) -> Any:
    """A value as JSON, or as the text that it is."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _shot(text: str) -> dict[str, Any]:
    seconds, colon, prompt = text.partition(":")
    if not colon:
        raise click.UsageError("--shot must be SECONDS:PROMPT, such as '3:a door opens'")
    return {"seconds": _number(seconds.strip()), "prompt": prompt.strip()}


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option} must be KEY=VALUE, such as order=1007")
    return key, value


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands in it twice")
    return dict(pairs)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")
