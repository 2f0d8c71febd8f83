"""APIMart: polled; the answer's body has a status code of its own beside HTTP's.

https://docs.apimart.ai/en/api-reference/videos/kling-3.0-turbo/generation
https://docs.apimart.ai/en/api-reference/tasks/status
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.providers import answers
from worker.providers.adapter import Adapter
from worker.providers.answers import error_words
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.model import ModelRules

MODELS = {
    "kling-3.0-turbo": ModelRules(
        provider="apimart",
        name="kling-3.0-turbo",
        source="https://docs.apimart.ai/en/api-reference/videos/kling-3.0-turbo/generation",
        fields={
            "prompt": "prompt",
            "first_frame": "first_frame_image",
            "duration": "duration",
            "resolution": "resolution",
            "aspect_ratio": "aspect_ratio",
            "watermark": "watermark",
        },
        required=(("prompt", "shots", "first_frame"),),
        excluded_by={"aspect_ratio": "first_frame"},
        lengths={"prompt": 3072},  # the upstream's hard limit; 2500 is only recommended
        choices={"resolution": ("720p", "1080p"), "aspect_ratio": ("16:9", "9:16", "1:1")},
        defaults={"resolution": "720p", "duration": 5, "aspect_ratio": "16:9"},
        shot_marker="Shot",
        takes_inline_images=True,
    )
}

KINDS = {
    # https://docs.apimart.ai/en/api-reference/tasks/status
    "pending": EventKind.PENDING,
    "processing": EventKind.PENDING,
    "completed": EventKind.GENERATED,
    "failed": EventKind.FAILED,
    "cancelled": EventKind.FAILED,
    # the answer to a submit
    "submitted": EventKind.PENDING,
    # not documented; other callers of this API have mapped them
    "queued": EventKind.PENDING,
    "in_progress": EventKind.PENDING,
    "running": EventKind.PENDING,
    "success": EventKind.GENERATED,
    "succeeded": EventKind.GENERATED,
    "failure": EventKind.FAILED,
    "error": EventKind.FAILED,
}


class ApiMart(Adapter):
    """APIMart's task API. Its undocumented `webhook` field is never sent."""

    name = "apimart"
    models = MODELS
    kinds = KINDS
    repeats_refused_callbacks = False  # its page: 5xx or a time-out is retried, "4xx is not"
    code_field = "code"  # another client of this API has met 200 answers whose body denies them
    estimate_field = ("estimated_time",)
    usage_fields = ("cost", "credits_cost")  # other clients have seen them; in which currency, nobody says
    id_fields = ("id", "task_id")
    submit_path = "/v1/videos/generations"
    request_path = "/v1/tasks"
    account_path = "/v1/balance"

    def record(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """`data`: an array of one after a submit, an object later and on the vendor's newer routes."""
        data = document.get("data")
        first = data[0] if isinstance(data, list) and data else data
        return first if isinstance(first, Mapping) else {}

    def event(self, request_id: str, record: Mapping[str, Any]) -> ProviderEvent:
        videos = list(_videos(record.get("result")))
        ends = [end for end in (answers.instant(video.get("expires_at")) for video in videos) if end]
        return self.told(
            request_id,
            record.get("status"),
            urls=[url for video in videos for url in _urls(video)],
            expires_at=min(ends, default=None),
            error=lambda: error_words(record, hide=[self.api.api_key]),
            progress=record.get("progress"),
            usage=record,
            created=record.get("created"),
        )


def _videos(result: object) -> Iterator[Mapping[str, Any]]:
    videos = result.get("videos") if isinstance(result, Mapping) else None
    yield from (video for video in videos if isinstance(video, Mapping)) if isinstance(videos, list) else ()


def _urls(video: Mapping[str, Any]) -> list[object]:
    """`url` is an array on the newer page and a plain string on the older."""
    url = video.get("url")
    return url if isinstance(url, list) else [url]
