"""A video, as it is ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shot:
    """One shot of a storyboard."""

    seconds: int
    prompt: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One video and the terms on which it is made. None: not asked for, the provider's own default holds.

    Callsheet judges it, by the model: this class only names the fields. Pictures are an https URL, an `s3://`
    URI of the operator's own, or a `data:` URI of at most 2 MiB.
    """

    model: str
    provider: str | None = None
    prompt: str | None = field(default=None, repr=False)
    first_frame: str | None = field(default=None, repr=False)
    last_frame: str | None = field(default=None, repr=False)
    negative_prompt: str | None = field(default=None, repr=False)
    duration: int | None = None  # whole seconds
    resolution: str | None = None
    aspect_ratio: str | None = None
    sound: bool | None = None
    watermark: bool | None = None
    seed: int | None = None
    cfg_scale: float | None = None
    mode: str | None = None  # a model's own word, such as std or pro
    reference_images: Sequence[str] | None = field(default=None, repr=False)
    reference_videos: Sequence[str] | None = field(default=None, repr=False)
    extra: Mapping[str, Any] | None = field(default=None, repr=False)  # the provider's own fields, by its names
    shots: Sequence[Shot] | None = field(default=None, repr=False)
    tenant: str | None = None
    max_cost: str | None = None  # USD, as decimal text
    give_up_after: int | None = None  # seconds from acceptance
    not_before: str | None = None  # RFC 3339
    notify_url: str | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] | None = field(default=None, repr=False)

    def document(self) -> dict[str, Any]:
        """The fields that were given, as JSON holds them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def document_of(spec: Spec | Mapping[str, Any]) -> dict[str, Any]:
    """*spec* as JSON holds it; a mapping is taken as it is, for fields that this package does not name."""
    return spec.document() if isinstance(spec, Spec) else dict(spec)
