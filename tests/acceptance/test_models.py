"""The main job: every model of the five source documents, by callback and by poll."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from celery.result import AsyncResult

from deploy.sandbox import images
from tests.acceptance.backend import WORDS, a_spec, frame, new_id
from tests.acceptance.conftest import Stage
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Objects, Proof

PATIENCE_SECONDS = 60
LOST = {"on": "callback", "lost": True}
PICTURE = images.png("start-frame.png")
INLINE = f"data:image/png;base64,{b64encode(PICTURE).decode()}"

JOBS: dict[str, tuple[str, dict[str, Any], tuple[float, int, int]]] = {
    "gmicloud kling-3.0-turbo-i2v": (
        "gmicloud",
        {"model": "kling-3.0-turbo-i2v", "first_frame": "1280x720", "resolution": "720p", "duration": 5},
        (5, 1280, 720),
    ),
    "gmicloud kling-v3-image-to-video": (
        "gmicloud",
        {
            "model": "kling-v3-image-to-video",
            "first_frame": "1280x720",
            "last_frame": "1280x720",
            "negative_prompt": f"rain, not {WORDS}",
            "sound": True,
            "duration": 5,
        },
        (5, 1280, 720),
    ),
    "gmicloud kling-3.0-turbo-t2v": (
        "gmicloud",
        {"model": "kling-3.0-turbo-t2v", "resolution": "720p", "aspect_ratio": "1:1", "duration": 3},
        (3, 720, 720),
    ),
    "evolink kling-v3-turbo-image-to-video": (
        "evolink",
        {"first_frame": "720x1280", "resolution": "1080p", "duration": 5},
        (5, 1080, 1920),
    ),
    "evolink, its callbacks lost": ("evolink", {"first_frame": "1280x720", "duration": 3}, (3, 1280, 720)),
    "evolink kling-v3-turbo-image-to-video, its picture inline": (
        "evolink",
        {"first_frame": INLINE, "duration": 3},
        (3, 1280, 720),
    ),
    "apimart text, 1080p": ("apimart", {"aspect_ratio": "16:9", "resolution": "1080p", "duration": 5}, (5, 1920, 1080)),
    "apimart text, portrait": (
        "apimart",
        {"aspect_ratio": "9:16", "resolution": "720p", "duration": 6},
        (6, 720, 1280),
    ),
    "apimart first frame": (
        "apimart",
        {"first_frame": "1280x720", "resolution": "720p", "watermark": False, "duration": 5},
        (5, 1280, 720),
    ),
    "apimart first frame alone": (
        "apimart",
        {"first_frame": "1280x720", "prompt": None, "resolution": "1080p", "duration": 5},
        (5, 1920, 1080),
    ),
    "apimart storyboard": (
        "apimart",
        {
            "prompt": None,
            "shots": [
                {"seconds": 2, "prompt": f"{WORDS}, seen from above"},
                {"seconds": 3, "prompt": f"{WORDS}, seen from the sea"},
            ],
            "resolution": "720p",
            "duration": 5,
        },
        (5, 1280, 720),
    ),
    "apimart, a model of the user's own file": (
        "apimart",
        {
            "model": "tomorrow",
            "first_frame": "1280x720",
            "resolution": "1080p",
            "duration": 8,
            "extra": {"style": "film"},
        },
        (8, 1920, 1080),
    ),
}
"""Name -> provider, fields (pictures by their size), and the video that is to come: seconds, width, height."""


Results = Mapping[str, AsyncResult[Any]]


def begin(stage: Stage) -> Results:
    """All jobs under way at once: most of them wait for their first poll."""
    sent = {}
    for name, (provider, fields, _) in JOBS.items():
        job_id = new_id()
        stage.backend.script(job_id, *([LOST] if "lost" in name else []))
        sent[name] = stage.backend.send(job_id, _spec(job_id, provider, fields))
    return sent


def _spec(job_id: str, provider: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    spec = {"metadata": {"of": job_id}, **a_spec(job_id, provider, **fields)}
    for name in ("first_frame", "last_frame"):
        if name in spec and spec[name] != INLINE:
            spec[name] = frame(job_id, spec[name])
    if "shots" in spec:
        spec["shots"][0]["prompt"] += f", take {job_id}"
    return {name: value for name, value in spec.items() if value is not None}


@pytest.mark.parametrize("name", JOBS)
def test_every_model_ends_as_a_verified_video_in_the_bucket(
    name: str, begun: Results, ledger: Ledger, objects: Objects, proof: Proof
) -> None:
    provider, fields, video = JOBS[name]

    result = begun[name].get(timeout=PATIENCE_SECONDS)

    [told] = result["videos"]
    assert proof.faults(result) == []
    assert (told["seconds"], told["width"], told["height"]) == video
    assert (result["provider"], result["metadata"]) == (provider, {"of": result["job_id"]})
    assert result["model"] == ledger.request(result["request_id"])["model"]
    assert fields.get("model", result["model"]) in (result["model"], "tomorrow")
    by_poll = provider == "gmicloud" or "lost" in name
    assert objects.manifest(result)["generated_by"] == ("poll" if by_poll else "callback")


def test_a_model_of_the_users_own_is_made_as_its_file_says(begun: Results, ledger: Ledger) -> None:
    result = begun["apimart, a model of the user's own file"].get(timeout=PATIENCE_SECONDS)

    (post,) = ledger.posts(result["job_id"])
    assert {name: post["body"][name] for name in ("model", "seconds", "quality", "style")} == {
        "model": "tomorrows-video-1",
        "seconds": "8",
        "quality": "1080p",
        "style": "film",
    }
    assert (result["model"], result["cost"]["amount"]) == ("tomorrows-video-1", "0.40")


def test_an_inline_picture_reaches_a_provider_that_takes_only_links_as_a_link(begun: Results, ledger: Ledger) -> None:
    result = begun["evolink kling-v3-turbo-image-to-video, its picture inline"].get(timeout=PATIENCE_SECONDS)

    [post] = ledger.posts(result["job_id"])

    assert post["body"]["image_start"].startswith("https://")
    assert ledger.open(post["body"]["image_start"]) == PICTURE
