"""GMI Cloud: a queue that is polled; it never calls back, echoes what it was sent, and can list it.

https://docs.gmicloud.ai/inference-engine/api-reference/video-api-reference
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from worker.errors import ProviderError
from worker.guard.text import clean
from worker.jobs.spec import JobSpec
from worker.providers import answers
from worker.providers.adapter import Adapter
from worker.providers.answers import error_words
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.model import ModelRules

_PAGES = "https://docs.gmicloud.ai/model-quickstarts/video"
_REQUESTS = "/api/v1/ie/requestqueue/apikey/requests"

# The page's "0.112persecond(0.112 per second (0.14 per second at 1080p)" is garbled by its maths renderer.
_TURBO_PRICES = {"720p": Decimal("0.112"), "1080p": Decimal("0.14")}
_RESOLUTIONS = ("720p", "1080p")

MODELS = {
    rules.name: rules
    for rules in (
        ModelRules(
            provider="gmicloud",
            name="kling-3.0-turbo-i2v",
            source=f"{_PAGES}/kling-3-0-turbo-i2v",
            answers_to=("kling-3.0-turbo",),
            fields={
                "prompt": "prompt",
                "first_frame": "first_frame",
                "duration": "duration",
                "resolution": "resolution",
            },
            required=(("first_frame",),),
            lengths={"prompt": 2500},
            choices={"resolution": _RESOLUTIONS},
            defaults={"resolution": "720p", "duration": 5},
            shot_marker="Shot",
            takes_inline_images=True,
            price_per_second=_TURBO_PRICES,
        ),
        ModelRules(
            provider="gmicloud",
            name="kling-3.0-turbo-t2v",
            source=f"{_PAGES}/kling-3-0-turbo-t2v",
            answers_to=("kling-3.0-turbo",),
            fields={
                "prompt": "prompt",
                "duration": "duration",
                "resolution": "resolution",
                "aspect_ratio": "aspect_ratio",
            },
            required=(("prompt", "shots"),),
            lengths={"prompt": 2500},
            choices={"resolution": _RESOLUTIONS, "aspect_ratio": ("16:9", "9:16", "1:1")},
            defaults={"resolution": "720p", "duration": 5, "aspect_ratio": "16:9"},
            shot_marker="Shot",
            price_per_second=_TURBO_PRICES,
        ),
        ModelRules(
            provider="gmicloud",
            name="kling-v3-image-to-video",
            source=f"{_PAGES}/kling-v3-image-to-video",
            answers_to=("kling-3.0",),
            fields={
                "prompt": "prompt",
                "first_frame": "image",
                "last_frame": "image_tail",
                "negative_prompt": "negative_prompt",
                "duration": "duration",
                "sound": "sound",
            },
            required=(("prompt",), ("first_frame",)),
            # The page limits only `prompt`; a longer negative one would surely be a mistake.
            lengths={"prompt": 2500, "negative_prompt": 2500},
            defaults={"duration": 5},
            takes_inline_images=True,
            # Unpriced: the page names the rate with sound ("increases to $0.252"), never the one without.
        ),
    )
}

# The vendor's SDK (package `gmicloud`, _enums.py) lists all seven.
KINDS = {
    "created": EventKind.PENDING,
    "queued": EventKind.PENDING,
    "dispatched": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "success": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    "cancelled": EventKind.FAILED,
}

REFUSALS = {500: re.compile(r"Backend error \(400\)")}
"""Other clients have seen the queue wrap its backend's 400 in a 500 of its own (genblaze-gmicloud, _errors.py)."""


class GmiCloud(Adapter):
    """GMI Cloud's request queue."""

    name = "gmicloud"
    can_list = True
    models = MODELS
    kinds = KINDS
    id_fields = ("request_id",)
    submit_path = _REQUESTS
    request_path = _REQUESTS
    account_path = _REQUESTS
    refusals = REFUSALS
    answer_bytes = 8 * 1024 * 1024  # it echoes the payload, inline pictures and all

    def envelope(self, model: str, values: dict[str, Any]) -> dict[str, Any]:
        return {"model": model, "payload": values}

    def encoded(self, value: Any) -> str:
        """All values are strings, the duration too; switches are words."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return str(value)

    def event(self, request_id: str, record: Mapping[str, Any]) -> ProviderEvent:
        outcome = record.get("outcome")
        outcome = outcome if isinstance(outcome, Mapping) else {}
        return self.told(
            request_id,
            record.get("status"),
            urls=_video_urls(outcome),
            error=lambda: self._error(record, outcome),
            model=record.get("model"),
            created=record.get("created_at"),
            payload=record.get("payload"),
        )

    def _error(self, record: Mapping[str, Any], outcome: Mapping[str, Any]) -> tuple[str, str]:
        """Why a request failed. Where that stands is not documented; these are the places where clients look."""
        payload = record.get("payload")
        echoed = payload.values() if isinstance(payload, Mapping) else ()
        hide = [self.api.api_key, *(text for text in echoed if isinstance(text, str))]
        code, message = error_words({**record, "message": None}, hide=hide)
        inner_code, inner_message = error_words(outcome, hide=hide)
        number = answers.code_word(outcome.get("error_code"), hide=hide)
        reason = clean(outcome.get("fail_reason") or outcome.get("status"), hide=hide)
        return code or inner_code or number, message or inner_message or reason

    def recent(self, spec: JobSpec) -> Sequence[ProviderEvent]:
        rules = self.rules_for(spec)
        if rules is None:
            raise ProviderError(self.name, "unknown_model", "the spec's model is not theirs")
        document = self._learned(self.api.get(_REQUESTS, {"model_id": rules.name}))
        records = document.get("requests")
        if not isinstance(records, list):
            raise ProviderError(self.name, "unreadable", "the answer holds no list of requests")
        identified = [(self._id_in(record), record) for record in records if isinstance(record, Mapping)]
        return [self.event(request_id, record) for request_id, record in identified if request_id]


def _video_urls(outcome: Mapping[str, Any]) -> Iterable[object]:
    """Never `thumbnail_image_url`, though the official example puts an .mp4 there."""
    media = outcome.get("media_urls")
    urls = [item.get("url") if isinstance(item, Mapping) else item for item in media] if isinstance(media, list) else []
    return urls or [outcome.get("video_url") or outcome.get("url")]
