"""Checks of submitted fields that more than one provider makes; each raises the `Refusal` of the first problem."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, urlsplit

from deploy.sandbox import images
from deploy.sandbox.answers import Refusal
from deploy.sandbox.images import Size

IMAGE_BYTES = 50 * 1024 * 1024
IMAGE_SIDE = 300
IMAGE_RATIO = 2.5
RATIOS: dict[str, Size] = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1)}
SHORT_SIDES = {"720p": 720, "1080p": 1080}
NO_IMAGE = frozenset({".gif", ".webp", ".bmp", ".svg", ".tif", ".tiff", ".heic", ".avif", ".mp4", ".mov"})
SHOT_MOST = 6
SHOT_WORDS = 512


def bad(param: str, message: str) -> Refusal:
    return Refusal(400, "invalid_request", message, param=param)


def only(body: Mapping[str, Any], allowed: Collection[str], model: str) -> None:
    for name in body:
        if name not in allowed:
            raise bad(name, f"{name} is not accepted by {model}")


def text(body: Mapping[str, Any], name: str, *, longest: int, required: bool = False) -> str | None:
    value = body.get(name)
    if value is None or (value == "" and not required):
        if required:
            raise bad(name, f"{name} is required")
        return None
    if not isinstance(value, str):
        raise bad(name, f"{name} must be a string")
    if required and not value.strip():
        raise bad(name, f"{name} must not be empty")
    if len(value) > longest:
        raise bad(name, f"{name} must not exceed {longest} characters, got {len(value)}")
    return value


def choice(body: Mapping[str, Any], name: str, allowed: Collection[str], default: str) -> str:
    if name not in body:
        return default
    value = body[name]
    if not isinstance(value, str) or value not in allowed:
        raise bad(name, f"{name} must be a string, one of {', '.join(allowed)}")
    return value


def whole_seconds(body: Mapping[str, Any]) -> int:
    """An unquoted whole number from 3 to 15; 5 when left out."""
    value = body.get("duration", 5)
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad("duration", "duration must be a plain number, without quotes")
    if not 3 <= value <= 15:
        raise bad("duration", f"duration must be within 3 and 15 seconds, got {value}")
    return value


def https_url(value: str, name: str) -> SplitResult:
    """The parts of an absolute https URL."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\x00-\x20\x7f]", value):
        raise bad(name, f"{name} must be an https URL")
    return parts


def image(body: Mapping[str, Any], name: str, *, inline: bool, required: bool = False) -> Size | None:
    """Check an image field; returns the size of the frame where it is known, None when it is absent or unknown.

    *inline*: Base64 content (bare, or as a `data:` URI) is taken beside URLs. URLs are not fetched.
    """
    value = body.get(name)
    if value is None:
        if required:
            raise bad(name, f"{name} is required")
        return None
    if not isinstance(value, str) or not value:
        raise bad(name, f"{name} must be an image URL")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        parts = https_url(value, name)
        if PurePosixPath(parts.path).suffix.lower() in NO_IMAGE:
            raise bad(name, f"{name} must be a .jpg, .jpeg or .png image")
        return images.size_told_by(value)
    if not inline:
        raise bad(name, f"{name} must be an https URL; Base64 is not accepted")
    return _inline_image(value, name)


def _inline_image(value: str, name: str) -> Size:
    content = images.decoded(value)
    if content is None:
        raise bad(name, f"{name} is neither an https URL nor Base64")
    if len(content) > IMAGE_BYTES:
        raise bad(name, f"{name} must not exceed 50 MB")
    size = images.size_of(content)
    if size is None:
        raise bad(name, f"{name} is not a JPEG or PNG image")
    if min(size) < IMAGE_SIDE:
        raise bad(name, f"{name} must be at least {IMAGE_SIDE} px wide and high, got {size[0]}x{size[1]}")
    if max(size) > IMAGE_RATIO * min(size):
        raise bad(name, f"{name} must have a ratio between 1:2.5 and 2.5:1, got {size[0]}x{size[1]}")
    return size


def picture_size(resolution: str, ratio: Size) -> Size:
    """Width and height of a video: the short side is the resolution's, both even, at most 2.5:1."""
    short = SHORT_SIDES[resolution]
    stretch = min(IMAGE_RATIO, max(ratio) / min(ratio))
    long = round(short * stretch / 2) * 2
    return (long, short) if ratio[0] >= ratio[1] else (short, long)


def storyboard(prompt: str | None, seconds: int, markers: Collection[str]) -> None:
    """Refuse a multi-shot prompt (`Shot 1, 3, words; Shot 2, 2, words;`) that breaks its own rules.

    A prompt is one when it begins with a marker, a number and a comma.
    """
    shot = re.compile(rf"\s*(?:{'|'.join(markers)})\s*(\d+)\s*,\s*(\d+)\s*,\s*(.*\S)\s*", re.DOTALL)
    if prompt is None or not re.match(rf"\s*(?:{'|'.join(markers)})\s*\d+\s*,", prompt):
        return
    parts = [shot.fullmatch(part) for part in prompt.strip().removesuffix(";").split(";")]
    found = [(int(part[1]), int(part[2]), part[3]) for part in parts if part]
    if len(found) < len(parts) or [number for number, _, _ in found] != list(range(1, len(parts) + 1)):
        raise bad("prompt", "a storyboard is written as: Shot n, m, words; with n counting up from 1")
    if len(found) > SHOT_MOST or any(length < 1 or len(words) > SHOT_WORDS for _, length, words in found):
        raise bad("prompt", f"a storyboard has 1 to {SHOT_MOST} shots, each of 1 s or more and {SHOT_WORDS} characters")
    if sum(length for _, length, _ in found) != seconds:
        raise bad("prompt", f"the shots' seconds must add up to the duration, {seconds}")
