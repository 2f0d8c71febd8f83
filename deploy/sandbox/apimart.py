"""APIMart: a flat body with a plain number as duration, `{"code", "data"}` around every answer, and callbacks to an
address to which it appends `/callback`, three more after 10, 30 and 60 s, none after a 4xx.

https://docs.apimart.ai/en/api-reference/videos/kling-3.0-turbo/generation
https://docs.apimart.ai/en/api-reference/tasks/status
https://docs.apimart.ai/en/api-reference/tasks/webhook
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from deploy.sandbox import bill, checks, permissive
from deploy.sandbox.answers import Refusal
from deploy.sandbox.evolink import check_callback_url
from deploy.sandbox.generations import Asked, Generation, Phase
from deploy.sandbox.wire_format import Route, Wire

SUBMIT = "/v1/videos/generations"
TASKS = "/v1/tasks/"
BALANCES = ("/v1/balance", "/v1/user/balance")

MODEL = "kling-3.0-turbo"
FIELDS = ("model", "prompt", "first_frame_image", "aspect_ratio", "resolution", "duration", "watermark", "webhook")
CALLBACK_PORTS = (80, 443)
SHOT_MARKERS = ("[Ss]hot",)
ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

WORDS = {
    Phase.WAITING: "pending",
    Phase.STARTING: "processing",
    Phase.RUNNING: "processing",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}


class ApiMart(Wire):
    """The wire format of APIMart."""

    name = "apimart"
    retry_seconds = (10.0, 30.0, 60.0)
    retries_refused = False

    def __init__(self, *, allow_loopback_callbacks: bool) -> None:
        self._allow_loopback = allow_loopback_callbacks

    def route(self, method: str, path: str) -> Route | None:
        if method == "POST" and path == SUBMIT:
            return Route("submit")
        if method == "GET" and path in BALANCES:
            return Route("account")
        if method == "GET" and path.startswith(TASKS):
            return Route("poll", path.removeprefix(TASKS))
        return None

    def order(self, body: Any, _route: Route, _query: Mapping[str, str]) -> Asked:
        if not isinstance(body, dict):
            raise Refusal(400, "invalid_request", "the body must be an object")
        callback_url = self._callback_url(body.get("webhook"))
        if permissive.is_other(body.get("model"), [MODEL]):
            return permissive.asked(str(body["model"]), body, body, callback_url)
        if body.get("model") != MODEL:
            raise checks.bad("model", "the model does not exist")
        checks.only(body, FIELDS, MODEL)
        by_image = "first_frame_image" in body
        frame = checks.image(body, "first_frame_image", inline=True, required=by_image)
        prompt = checks.text(body, "prompt", longest=3072, required=not by_image)
        resolution = checks.choice(body, "resolution", tuple(checks.SHORT_SIDES), "720p")
        ratio = checks.RATIOS[checks.choice(body, "aspect_ratio", tuple(checks.RATIOS), "16:9")]
        if by_image:  # aspect_ratio is taken and has no effect
            ratio = frame or checks.RATIOS["16:9"]
        seconds = checks.whole_seconds(body)
        checks.storyboard(prompt, seconds, SHOT_MARKERS)
        if not isinstance(body.get("watermark", False), bool):
            raise checks.bad("watermark", "watermark must be a boolean")
        return Asked(MODEL, body, seconds, *checks.picture_size(resolution, ratio), resolution, callback_url)

    def _callback_url(self, base: Any) -> str | None:
        """The callback's address; one that is not allowed is dropped without a word."""
        if not isinstance(base, str):
            return None
        parts = urlsplit(base)
        try:
            check_callback_url(base, allow_loopback=self._allow_loopback)
            is_here = self._allow_loopback and parts.hostname in ("127.0.0.1", "localhost")
            if not is_here and (parts.port or CALLBACK_PORTS[1]) not in CALLBACK_PORTS:
                return None
        except Refusal:
            return None
        return f"{base.rstrip('/')}/callback"

    def new_id(self, rng: random.Random) -> str:
        return "task_" + "".join(rng.choices(ULID_DIGITS, k=26))

    def submitted(self, generation: Generation) -> dict[str, Any]:
        return {"code": 200, "data": [{"status": "submitted", "task_id": generation.request_id}]}

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        task: dict[str, Any] = {
            "id": generation.request_id,
            "status": word or WORDS[phase],
            "progress": generation.progress(now) if phase is not Phase.WAITING else 0,
            "created": int(generation.created_at),
            "estimated_time": math.ceil(generation.fate.seconds),
        }
        if phase is Phase.COMPLETED:
            dies = int(generation.links_die_at)
            task["result"] = {"videos": [{"url": [url], "expires_at": dies} for url in generation.links]}
            task["completed"] = int(generation.finishes_at)
            task["actual_time"] = round(generation.fate.seconds)
            cost = bill.price(generation) or 0
            task["cost"], task["credits_cost"] = float(cost), float(10 * cost)
        elif phase is Phase.FAILED:
            task["error"] = {"code": generation.fate.code, "message": generation.fate.message, "type": "task_error"}
        return {"code": 200, "data": task}

    def callback(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        """Flat, without `code` and `data`."""
        task: dict[str, Any] = self.record(generation, now, word)["data"]
        return task

    def listed(self, _generations: Sequence[Generation], _total: int, _now: float, /) -> None:
        return None

    def account(self) -> dict[str, Any]:
        left = {"remain_credits": 1000000.0, "used_credits": 0.0, "unlimited_quota": False}
        return {"success": True, "remain_balance": 1000.0, "used_balance": 0.0, **left}

    def error(self, refusal: Refusal) -> dict[str, Any]:
        return {"error": {"code": refusal.status, "message": refusal.message, "type": refusal.code}}

    def unknown(self) -> Refusal:
        return Refusal(404, "task_not_found", "the task does not exist")
