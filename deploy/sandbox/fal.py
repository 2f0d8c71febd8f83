"""fal's queue: the model is the path, the webhook stands in the query alone, the result is a call of its own.

https://docs.fal.ai/model-endpoints/queue
https://docs.fal.ai/model-endpoints/webhooks
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.sandbox import checks
from deploy.sandbox.answers import Answer, Call, Refusal, json_answer
from deploy.sandbox.evolink import check_callback_url
from deploy.sandbox.generations import Asked, Generation, Phase
from deploy.sandbox.signing import FalSigner
from deploy.sandbox.wire_format import Route, Wire, whole

APP = "/fal-ai/kling-video"
HISTORY = "/v1/models/requests/by-endpoint"
KEYS = "/.well-known/jwks.json"
REQUEST = re.compile(rf"{APP}/requests/([0-9a-f-]{{36}})(/status|/cancel)?")
MODEL = re.compile(r"fal-ai/kling-video/v3/(standard|pro)/(text|image)-to-video")
DURATIONS = tuple(str(seconds) for seconds in range(3, 16))
FIELDS = {
    "text": frozenset({"prompt", "duration", "aspect_ratio", "generate_audio", "negative_prompt", "cfg_scale"}),
    "image": frozenset(
        {"prompt", "duration", "start_image_url", "end_image_url", "generate_audio", "negative_prompt", "cfg_scale"}
    ),
}
WORDS = {
    Phase.WAITING: "IN_QUEUE",
    Phase.STARTING: "IN_PROGRESS",
    Phase.RUNNING: "IN_PROGRESS",
    Phase.COMPLETED: "COMPLETED",
    Phase.FAILED: "COMPLETED",
    Phase.CANCELLED: "COMPLETED",
}


class Fal(Wire):
    """The wire format of fal."""

    name = "fal"
    scheme = "Key"
    link_seconds = 30 * 24 * 3600.0  # not documented
    retry_seconds = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)  # "up to 31 attempts with backoff"
    id_name = "request_id"

    def __init__(self, *, allow_loopback_callbacks: bool) -> None:
        self.signer = self._keys = FalSigner()
        self._allow_loopback = allow_loopback_callbacks

    def public(self, method: str, path: str) -> Any:
        return self._keys.key_set() if (method, path) == ("GET", KEYS) else None

    def route(self, method: str, path: str) -> Route | None:
        if method == "GET" and path == HISTORY:
            return Route("list")
        if (found := REQUEST.fullmatch(path)) is not None:
            verbs = {("GET", "/status"): "poll", ("GET", None): "result", ("PUT", "/cancel"): "cancel"}
            verb = verbs.get((method, found[2]))
            return Route(verb, found[1]) if verb else None  # type: ignore[arg-type]  # one of the three
        return Route("submit", model=path.removeprefix("/")) if method == "POST" else None

    def order(self, body: Any, route: Route, query: Mapping[str, str]) -> Asked:
        model = MODEL.fullmatch(route.model)
        if model is None:
            raise Refusal(404, "not_found", f"Application '{route.model}' not found")
        if not isinstance(body, dict):
            raise Refusal(422, "model_attributes_type", "Input should be a valid dictionary")
        given = {name: value for name, value in body.items() if name in FIELDS[model[2]]}  # others are dropped silently
        checks.text(given, "prompt", longest=2500, required=model[2] == "text")
        checks.text(given, "negative_prompt", longest=2500)
        ratio = checks.RATIOS[checks.choice(given, "aspect_ratio", tuple(checks.RATIOS), "16:9")]
        if model[2] == "image":
            ratio = checks.image(given, "start_image_url", inline=True, required=True) or ratio
            checks.image(given, "end_image_url", inline=True)
        seconds = int(checks.choice(given, "duration", DURATIONS, "5"))
        if not isinstance(given.get("generate_audio", True), bool):
            raise checks.bad("generate_audio", "Input should be a valid boolean")
        url = query.get("fal_webhook")
        if url is not None:
            check_callback_url(url, allow_loopback=self._allow_loopback)
        resolution = "1080p" if model[1] == "pro" else "720p"
        return Asked(route.model, given, seconds, *checks.picture_size(resolution, ratio), resolution, url)

    def new_id(self, rng: random.Random) -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    def submitted(self, generation: Generation) -> dict[str, Any]:
        page = f"{generation.base_url}/fal{APP}/requests/{generation.request_id}"
        return {
            "status": "IN_QUEUE",
            "request_id": generation.request_id,
            "gateway_request_id": generation.request_id,
            "response_url": page,
            "status_url": f"{page}/status",
            "cancel_url": f"{page}/cancel",
            "queue_position": 0,
        }

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        record = self.submitted(generation) | {"status": word or WORDS[phase]}
        if phase is not Phase.WAITING:
            del record["queue_position"]
        if record["status"] == "COMPLETED":
            record["metrics"] = {"inference_time": generation.fate.seconds}
        return record

    def poll_status(self, generation: Generation, now: float) -> int:
        return 200 if now >= generation.finishes_at else 202

    def result(self, generation: Generation, now: float) -> Answer:
        phase = generation.phase(now)
        if phase is Phase.COMPLETED:
            return json_answer(200, _output(generation))
        if phase is Phase.FAILED:
            return json_answer(422, _failure(generation), headers={"x-fal-error-type": generation.fate.code})
        if phase is Phase.CANCELLED:
            headers = {"x-fal-error-type": "request_cancelled"}
            return json_answer(400, {"detail": "Request was cancelled"}, headers=headers)
        return json_answer(400, {"detail": "Request is still in progress"})

    def callback(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        ids = {"request_id": generation.request_id, "gateway_request_id": generation.request_id}
        if word == "OK" or (word is None and phase is Phase.COMPLETED):
            return {**ids, "status": word or "OK", "error": None, "payload": _output(generation)}
        payload = {"detail": "Request was cancelled"} if phase is Phase.CANCELLED else _failure(generation)
        return {**ids, "status": word or "ERROR", "error": "Invalid status code: 422", "payload": payload}

    def page(self, call: Call, held: Sequence[Generation], now: float) -> dict[str, Any]:
        """The history of one model, the newest first, between two times."""
        start, end = (_seconds(call.query.get(name, "")) for name in ("start", "end"))
        ours = [item for item in held if item.asked.model == call.query.get("endpoint_id")]
        ours = [item for item in ours if (start or 0) <= item.created_at <= (end or now)]
        limit, first = min(whole(call.query, "limit", 50), 100), whole(call.query, "cursor", 0)
        page, rest = ours[first : first + limit], ours[first + limit :]
        more = {"next_cursor": str(first + limit) if rest else None, "has_more": bool(rest)}
        return {"items": [_item(item, now, call.query.get("expand") == "payloads") for item in page], **more}

    def listed(self, _generations: Sequence[Generation], _total: int, _now: float, /) -> None:
        return None

    def cancelled(self, generation: Generation, now: float) -> Answer:
        """Only what still waits in the queue can be cancelled."""
        if generation.phase(now) is not Phase.WAITING:
            raise Refusal(400, "ALREADY_COMPLETED", "Request is already being processed or completed")
        return json_answer(202, {"status": "CANCELLATION_REQUESTED"})

    def account(self) -> None:
        return None

    def status_of(self, refusal: Refusal) -> int:
        return 422 if refusal.status == 400 and refusal.param else refusal.status

    def error(self, refusal: Refusal) -> dict[str, Any]:
        if not refusal.param:
            return {"detail": refusal.message}
        return {"detail": [{"loc": ["body", refusal.param], "msg": refusal.message, "type": "value_error"}]}

    def unknown(self) -> Refusal:
        return Refusal(404, "not_found", "Request not found")


def _output(generation: Generation) -> dict[str, Any]:
    files = [
        {"url": url, "content_type": "video/mp4", "file_name": "output.mp4", "file_size": None}
        for url in generation.links
    ]
    return {"video": files[0] if len(files) == 1 else files}


def _failure(generation: Generation) -> dict[str, Any]:
    fate = generation.fate
    return {"detail": [{"loc": ["body", "prompt"], "msg": fate.message, "type": fate.code}]}


def _item(generation: Generation, now: float, has_payloads: bool) -> dict[str, Any]:
    is_over = now >= generation.finishes_at
    item = {
        "request_id": generation.request_id,
        "endpoint_id": generation.asked.model,
        "sent_at": _iso(generation.created_at),
        "ended_at": _iso(generation.finishes_at) if is_over else None,
        "status_code": (200 if generation.phase(now) is Phase.COMPLETED else 422) if is_over else None,
    }
    return item | ({"json_input": dict(generation.asked.body)} if has_payloads else {})


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
