"""Models without rules of their own here: taken as they come, read as far as a video can be made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from deploy.sandbox import checks, images
from deploy.sandbox.answers import Refusal
from deploy.sandbox.generations import Asked

MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
DURATIONS = ("duration", "durationSeconds", "seconds")
RATIOS = ("aspect_ratio", "aspectRatio", "ratio", "size")
RESOLUTIONS = ("resolution", "quality")
LONGEST_SECONDS = 60


def is_other(model: object, strict: Collection[str]) -> bool:
    """Whether *model* can be one without rules here: a name, and no misspelling of one that has rules."""
    is_name = isinstance(model, str) and MODEL.fullmatch(model) is not None
    return is_name and str(model).lower() not in {name.lower() for name in strict}


def asked(model: str, body: Mapping[str, Any], fields: Mapping[str, Any], callback_url: str | None = None) -> Asked:
    """The order in *fields*; raises `Refusal` where no length can be read."""
    resolution = next((str(fields[name]).lower() for name in RESOLUTIONS if name in fields), "720p")
    ratio = next((checks.RATIOS.get(str(fields[name])) for name in RATIOS if name in fields), None)
    frame = next((size for size in map(images.size_told_by, _urls(fields)) if size), None)
    size = checks.picture_size(resolution if resolution in checks.SHORT_SIDES else "720p", frame or ratio or (16, 9))
    return Asked(model, dict(body), _seconds(fields), *size, resolution, callback_url)


def _seconds(fields: Mapping[str, Any]) -> int:
    told = next((fields[name] for name in DURATIONS if name in fields), 5)
    if isinstance(told, bool) or not re.fullmatch("[0-9]{1,2}", str(told)) or not 0 < int(told) <= LONGEST_SECONDS:
        raise Refusal(400, "invalid_request", "duration must be a number of seconds", param="duration")
    return int(told)


def _urls(value: Any) -> Iterator[str]:
    """The URLs in *value*, however deep."""
    if isinstance(value, str) and value.startswith("https://"):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _urls(inner)
