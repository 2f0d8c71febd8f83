"""The demo's orders: the example requests of the five source documents, as Callsheet specs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DRAGON = "A cinematic shot of a dragon taking flight from a cliffside."
CORGI = "A corgi running on the beach, cinematic, golden-hour light"
BREEZE = "A gentle breeze sweeps across the scene, bringing a subtle sense of motion"
START_FRAME = "https://example.com/start_frame.jpg"
END_FRAME = "https://example.com/end_frame.jpg"


@dataclass(frozen=True)
class Example:
    """One job of the demo. `by_message`: enqueued by a plain Celery message, else through `worker.client`."""

    name: str
    spec: Mapping[str, Any]
    by_message: bool = True


def _gmicloud(model: str, **fields: Any) -> dict[str, Any]:
    return {"provider": "gmicloud", "model": model, "prompt": DRAGON, "duration": 5, **fields}


def _apimart(**fields: Any) -> dict[str, Any]:
    return {"provider": "apimart", "model": "kling-3.0-turbo", **fields}


EXAMPLES = (
    Example("gmi-turbo-i2v", _gmicloud("kling-3.0-turbo-i2v", first_frame=START_FRAME, resolution="720p")),
    Example(
        "gmi-v3-i2v",
        _gmicloud("kling-v3-image-to-video", first_frame=START_FRAME, last_frame=END_FRAME, sound=True),
    ),
    Example(
        "gmi-turbo-t2v",
        _gmicloud("kling-3.0-turbo-t2v", resolution="720p", aspect_ratio="16:9"),
        by_message=False,
    ),
    Example(
        "evolink-i2v",
        {
            "provider": "evolink",
            "model": "kling-v3-turbo-image-to-video",
            "first_frame": "https://your-cdn.com/start-frame.jpg",
            "prompt": BREEZE,
            "resolution": "720p",
            "duration": 5,
        },
    ),
    Example("apimart-1080p", _apimart(prompt=CORGI, aspect_ratio="16:9", resolution="1080p", duration=5)),
    Example("apimart-portrait", _apimart(prompt=CORGI, aspect_ratio="9:16", resolution="720p", duration=6)),
    Example("apimart-frame", _apimart(prompt=BREEZE, first_frame=START_FRAME, resolution="720p", duration=5)),
    Example("apimart-only-frame", _apimart(first_frame=START_FRAME, resolution="1080p", duration=5), by_message=False),
    Example(
        "apimart-storyboard",
        _apimart(
            shots=[
                {"seconds": 2, "prompt": "a corgi wakes up in a beach hut"},
                {"seconds": 3, "prompt": "it runs to the water, low camera"},
                {"seconds": 3, "prompt": "it shakes itself dry, slow motion"},
            ],
            resolution="720p",
            duration=8,
        ),
        by_message=False,
    ),
)
