"""The spec of a job, read strictly.

`parse_spec` finds what is wrong with a spec by itself; `worker/providers/choice.py` what
no model can do. Both name every problem at once and never repeat a value: it
may be a prompt or a signed URL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from worker.errors import DownloadError, SpecError
from worker.guard.bounded_json import value_problems
from worker.guard.text import shown_name
from worker.guard.urls import HttpsUrl, predicate
from worker.jobs import order_terms
from worker.jobs.images import normal_image, normal_link
from worker.jobs.order_terms import GIVE_UP_SECONDS
from worker.jobs.storyboard import MAX_SHOTS, WORDS_CHARACTERS, check_words

SPEC_BYTES = 6 * 1024 * 1024
"""Two inline pictures of 2 MiB, in base64, and room for words."""
METADATA_BYTES = 16 * 1024
EXTRA_FIELDS = 32
REFERENCES = 16
"""Most reference pictures, and videos, of a spec: each is looked at in S3 before the POST."""
URL_CHARACTERS = 2048
PROBLEMS = 100
"""Most problems told at once."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank: leave it out")
    return text


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(_compact(metadata).encode("utf-8", "replace")) > METADATA_BYTES:
        raise ValueError(f"is over {METADATA_BYTES} bytes as JSON")
    return metadata


def _few(extra: dict[str, Any]) -> dict[str, Any]:
    if not extra or len(extra) > EXTRA_FIELDS or len(_compact(extra).encode("utf-8", "replace")) > METADATA_BYTES:
        raise ValueError(f"must hold 1 to {EXTRA_FIELDS} names of the provider, at most {METADATA_BYTES} bytes as JSON")
    return extra


def _web_url(text: str) -> str:
    """The URL as it is sent to; where it may lead is the operator's to say (`CALLSHEET_NOTIFY_HOSTS`)."""
    try:
        return HttpsUrl.parse(text, may_be_plain=True).text
    except DownloadError as err:
        raise ValueError(predicate(err)) from None


Words = Annotated[str, AfterValidator(_not_blank)]
ShotWords = Annotated[str, Field(max_length=WORDS_CHARACTERS), AfterValidator(_not_blank), AfterValidator(check_words)]
Name = Annotated[str, Field(max_length=100), AfterValidator(_not_blank)]
Image = Annotated[str, AfterValidator(normal_image)]
Clip = Annotated[str, AfterValidator(normal_link)]

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Shot(BaseModel):
    """One shot of a storyboard."""

    model_config = _STRICT

    seconds: Annotated[int, Field(ge=1)]
    prompt: ShotWords = Field(repr=False)


class JobSpec(BaseModel):
    """One video, as asked. None means "not asked for": the provider's own default holds."""

    model_config = _STRICT

    model: Name
    provider: Name | None = None
    prompt: Words | None = Field(None, repr=False)
    first_frame: Image | None = Field(None, repr=False)
    last_frame: Image | None = Field(None, repr=False)
    negative_prompt: Words | None = Field(None, repr=False)
    duration: int | None = None  # whole seconds
    resolution: Name | None = None
    aspect_ratio: Name | None = None
    sound: bool | None = None
    watermark: bool | None = None
    seed: Annotated[int, Field(ge=0, le=2**53)] | None = None
    cfg_scale: Annotated[float, Field(ge=0, le=100)] | None = None
    mode: Name | None = None
    reference_images: Annotated[tuple[Image, ...], Field(strict=False, min_length=1, max_length=REFERENCES)] | None = (
        Field(None, repr=False)
    )
    reference_videos: Annotated[tuple[Clip, ...], Field(strict=False, min_length=1, max_length=REFERENCES)] | None = (
        Field(None, repr=False)
    )
    extra: Annotated[dict[str, Any], AfterValidator(_few)] | None = Field(None, repr=False)
    shots: Annotated[tuple[Shot, ...], Field(strict=False)] | None = Field(None, repr=False)
    tenant: Annotated[str, BeforeValidator(order_terms.tenant)] | None = None
    max_cost: Annotated[str, BeforeValidator(order_terms.max_cost)] | None = None  # USD, decimal text
    give_up_after: Annotated[int, Field(ge=GIVE_UP_SECONDS[0], le=GIVE_UP_SECONDS[1])] | None = None  # seconds
    not_before: Annotated[str, BeforeValidator(order_terms.not_before)] | None = None  # RFC 3339
    notify_url: Annotated[str, Field(max_length=URL_CHARACTERS), AfterValidator(_web_url)] | None = Field(
        None, repr=False
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(None, repr=False)

    @property
    def seconds(self) -> int | None:
        """The video's length as asked: `duration`, or what the shots add up to."""
        if self.duration is None and self.shots:
            return sum(shot.seconds for shot in self.shots)
        return self.duration

    def canonical_json(self) -> str:
        """The same text for the same spec, whatever its key order or its explicit nulls."""
        return self._canonical

    @cached_property
    def _canonical(self) -> str:
        fields = {name: value for name, value in self.model_dump().items() if value is not None}
        return _compact(fields)

    @property
    def sha256(self) -> str:
        """Hex digest of `canonical_json`: two specs are the same if this is."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def parse_spec(fields: Mapping[str, Any]) -> JobSpec:
    """Read a spec; raises `SpecError` with every problem that needs no model to be seen."""
    if not isinstance(fields, Mapping):
        raise SpecError(["a spec is an object of fields, such as model and prompt"])
    problems = value_problems(fields, SPEC_BYTES)
    if problems:
        raise SpecError(problems[:PROBLEMS])
    fields, told_twice = _with_sound(fields)
    spec: JobSpec | None = None
    unread: set[str] = set()
    try:
        spec = JobSpec.model_validate(dict(fields))
    except ValidationError as err:
        errors = err.errors(include_url=False, include_input=False)
        problems = [_in_words(error) for error in errors]
        unread = {str(error["loc"][0]) for error in errors}
    problems += [*told_twice, *_storyboard_problems(fields)]
    if spec is None or problems:
        raise SpecError(problems[:PROBLEMS], unread=unread) from None  # pydantic's own text could hold the prompt
    return spec


def _with_sound(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """*fields* with `audio` under its other name, `sound`; and the problem of one that is told twice."""
    if "audio" not in fields:
        return fields, []
    rest = {name: value for name, value in fields.items() if name != "audio"}
    if fields["audio"] is None:
        return rest, []
    if rest.get("sound") not in (None, fields["audio"]):
        return rest, ["audio: is another name of sound, which says otherwise; give one of them"]
    return {**rest, "sound": fields["audio"]}, []


def words_in(spec: Mapping[str, Any]) -> list[str]:
    """The caller's own words in the fields of a spec: no error of a provider's may repeat them."""
    shots = [shot.get("prompt") for shot in spec.get("shots") or ()]
    extra = (value for value in (spec.get("extra") or {}).values() if isinstance(value, str))
    return [words for words in (spec.get("prompt"), spec.get("negative_prompt"), *shots, *extra) if words]


def _storyboard_problems(fields: Mapping[str, Any]) -> list[str]:
    """Check fields against each other, in the raw spec, so that their problems are told beside all others."""
    shots = fields.get("shots")
    if not isinstance(shots, list | tuple):
        return []
    problems = []
    if not 1 <= len(shots) <= MAX_SHOTS:
        problems.append(f"shots: there are {len(shots)}; a storyboard has 1 to {MAX_SHOTS}")
    if fields.get("prompt") is not None:
        problems.append("shots: give either prompt or shots, not both (each shot has its own prompt)")
    seconds = [shot.get("seconds") for shot in shots if isinstance(shot, Mapping)]
    whole = [n for n in seconds if type(n) is int]
    duration = fields.get("duration")
    if type(duration) is int and len(whole) == len(shots) and sum(whole) != duration:
        problems.append(f"shots: their seconds add up to {sum(whole)}, but duration is {duration}")
    return problems


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of a spec; fields are " + ", ".join([*JobSpec.model_fields, "audio (= sound)"]),
    "string_type": "must be text",
    "int_type": "must be a whole number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "model_type": "must be an object with seconds and prompt",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "has more than {max_length} characters",
    "value_error": "{error}",
    "float_type": "must be a number, without quotes",
    "too_short": "must not be empty: leave it out",
    "too_long": "has more than {max_length} items",
}


def _in_words(error: Any) -> str:
    kind, place = error["type"], _place(error["loc"])
    if kind == "extra_forbidden" and len(error["loc"]) > 1:
        return f"{place}: is not a field of a shot; fields are seconds, prompt"
    words = _WORDS[kind].format(**error.get("ctx", {})) if kind in _WORDS else error["msg"]
    return f"{place}: {words}"


def _place(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{shown_name(part)}" if text else shown_name(part)
    return text[:80]


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
