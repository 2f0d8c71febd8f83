"""GMI Cloud's request queue: `{"model", "payload"}` with every payload value a string; poll only.

https://docs.gmicloud.ai/inference-engine/api-reference/video-api-reference
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.sandbox import checks, permissive
from deploy.sandbox.answers import Refusal
from deploy.sandbox.generations import Asked, Generation, Outcome, Phase
from deploy.sandbox.wire_format import Route, Wire

REQUESTS = "/api/v1/ie/requestqueue/apikey/requests"
ORGANISATION = "63729242-0000-4000-8000-73616e64626f"
DURATIONS = tuple(str(seconds) for seconds in range(3, 16))

WORDS = {
    Phase.WAITING: "queued",
    Phase.STARTING: "dispatched",
    Phase.RUNNING: "processing",
    Phase.COMPLETED: "success",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class _Model:
    image: str | None = None  # the field of the first frame
    tail: str | None = None
    prompt_required: bool = False
    fields: frozenset[str] = frozenset()


MODELS = {
    "kling-3.0-turbo-i2v": _Model(
        image="first_frame", fields=frozenset({"first_frame", "prompt", "resolution", "duration"})
    ),
    "kling-3.0-turbo-t2v": _Model(
        prompt_required=True, fields=frozenset({"prompt", "resolution", "aspect_ratio", "duration"})
    ),
    "kling-v3-image-to-video": _Model(
        image="image",
        tail="image_tail",
        prompt_required=True,
        fields=frozenset({"image", "image_tail", "prompt", "negative_prompt", "duration", "sound"}),
    ),
}


class GmiCloud(Wire):
    """The wire format of GMI Cloud."""

    name = "gmicloud"

    def route(self, method: str, path: str) -> Route | None:
        if path == REQUESTS:
            return {"POST": Route("submit"), "GET": Route("list")}.get(method)
        if method == "GET" and path.startswith(REQUESTS + "/"):
            return Route("poll", path.removeprefix(REQUESTS + "/"))
        return None

    def order(self, body: Any, _route: Route, _query: Mapping[str, str]) -> Asked:
        if not isinstance(body, dict) or not isinstance(body.get("payload"), dict):
            raise Refusal(400, "invalid_request", "the body must be an object with model and payload")
        checks.only(body, ("model", "payload"), "the request queue")
        name, payload = body.get("model"), body["payload"]
        if permissive.is_other(name, MODELS):
            return permissive.asked(str(name), payload, payload)
        model = MODELS.get(name) if isinstance(name, str) else None
        if model is None:
            raise Refusal(404, "not_found", "model not found, or you do not have access to it", param="model")
        _only_strings(payload)
        checks.only(payload, model.fields, str(name))
        return self._asked(str(name), model, payload)

    def _asked(self, name: str, model: _Model, payload: Mapping[str, str]) -> Asked:
        checks.text(payload, "prompt", longest=2500, required=model.prompt_required)
        checks.choice(payload, "sound", ("on", "off"), "off")
        resolution = checks.choice(payload, "resolution", tuple(checks.SHORT_SIDES), "720p")
        ratio = checks.RATIOS[checks.choice(payload, "aspect_ratio", tuple(checks.RATIOS), "16:9")]
        if model.image:
            ratio = checks.image(payload, model.image, inline=True, required=True) or ratio
        if model.tail:
            checks.image(payload, model.tail, inline=True)
        seconds = int(checks.choice(payload, "duration", DURATIONS, "5"))
        return Asked(name, dict(payload), seconds, *checks.picture_size(resolution, ratio), resolution)

    def new_id(self, rng: random.Random) -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    def submitted(self, generation: Generation) -> dict[str, Any]:
        created = int(generation.created_at)
        return {
            "request_id": generation.request_id,
            "model": generation.asked.model,
            "status": "queued",
            "created_at": created,
            "updated_at": created,
            "queued_at": created,
        }

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        record = self.submitted(generation) | {
            "org_id": ORGANISATION,
            "status": word or WORDS[phase],
            "is_public": False,
            "payload": generation.asked.body,
            "outcome": None,
            "updated_at": int(min(now, generation.finishes_at)),
            "qworker_id": "" if phase is Phase.WAITING else "sandbox-0",
        }
        if phase is Phase.COMPLETED:
            record["outcome"] = {
                "media_urls": [{"id": str(index), "url": url} for index, url in enumerate(generation.links)],
                "thumbnail_image_url": f"{generation.base_url}/images/start-frame.png",
            }
        elif generation.fate.outcome is Outcome.FAILED and phase is Phase.FAILED:
            record["error"] = f"{generation.fate.code}: {generation.fate.message}"
        return record

    def listed(self, generations: Sequence[Generation], total: int, now: float) -> dict[str, Any]:
        return {"requests": [self.record(item, now) for item in generations], "total": total}

    def account(self) -> None:
        return None

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": refusal.message}

    def unknown(self) -> Refusal:
        return Refusal(404, "not_found", "request not found")


def _only_strings(payload: Mapping[str, Any]) -> None:
    for name, value in payload.items():
        if not isinstance(value, str):
            raise checks.bad(name, f"{name} must be a string")
