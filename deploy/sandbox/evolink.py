"""EvoLink's unified tasks: a flat body, an integer duration, images by URL only, and callbacks.

https://docs.evolink.ai/en/api-manual/video-series/kling/kling-v3-turbo-image-to-video
https://docs.evolink.ai/en/api-manual/task-management/get-task-detail
"""

from __future__ import annotations

import ipaddress
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy.sandbox import checks, permissive
from deploy.sandbox.answers import Refusal
from deploy.sandbox.generations import Asked, Generation, Outcome, Phase
from deploy.sandbox.wire_format import Route, Wire

SUBMIT = "/v1/videos/generations"
TASKS = "/v1/tasks/"
CREDITS = "/v1/credits"
ID_PREFIX = "task-unified-"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

MODEL = "kling-v3-turbo-image-to-video"
FIRST_FRAME = "image_start"
FIELDS = ("model", FIRST_FRAME, "prompt", "quality", "duration", "callback_url")
SHOT_MARKERS = ("镜头", "[Ss]hot")
CALLBACK_URL_CHARACTERS = 2048
CREDITS_PER_SECOND = {"720p": 7.2, "1080p": 9.0}

WORDS = {
    Phase.WAITING: "pending",
    Phase.STARTING: "processing",
    Phase.RUNNING: "processing",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "failed",  # there is no status word for it: failed with code request_cancelled
}

ERROR_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
}


class EvoLink(Wire):
    """The wire format of EvoLink."""

    name = "evolink"

    def __init__(self, now: Callable[[], float], *, allow_loopback_callbacks: bool) -> None:
        self._now = now
        self._allow_loopback = allow_loopback_callbacks

    def route(self, method: str, path: str) -> Route | None:
        if method == "POST" and path == SUBMIT:
            return Route("submit")
        if method == "GET" and path == CREDITS:
            return Route("account")
        if method == "GET" and path.startswith(TASKS):
            request_id = path.removeprefix(TASKS)
            if not request_id.startswith(ID_PREFIX):
                raise Refusal(400, "invalid_task_id", f"task_id must start with {ID_PREFIX}", param="task_id")
            return Route("poll", request_id)
        return None

    def order(self, body: Any, _route: Route, _query: Mapping[str, str]) -> Asked:
        if not isinstance(body, dict):
            raise Refusal(400, "invalid_request", "the body must be an object")
        if permissive.is_other(body.get("model"), [MODEL]):
            return self._other(str(body["model"]), body)
        if body.get("model") != MODEL:
            raise checks.bad("model", "the model does not exist")
        checks.only(body, FIELDS, MODEL)
        ratio = checks.image(body, FIRST_FRAME, inline=False, required=True) or checks.RATIOS["16:9"]
        prompt = checks.text(body, "prompt", longest=2500)
        quality = checks.choice(body, "quality", tuple(checks.SHORT_SIDES), "720p")
        seconds = checks.whole_seconds(body)
        checks.storyboard(prompt, seconds, SHOT_MARKERS)
        callback_url = body.get("callback_url")
        if callback_url is not None:
            check_callback_url(callback_url, allow_loopback=self._allow_loopback)
        return Asked(MODEL, body, seconds, *checks.picture_size(quality, ratio), quality, callback_url)

    def _other(self, model: str, body: dict[str, Any]) -> Asked:
        callback_url = body.get("callback_url")
        if callback_url is not None:
            check_callback_url(callback_url, allow_loopback=self._allow_loopback)
        return permissive.asked(model, body, body, callback_url)

    def new_id(self, rng: random.Random) -> str:
        return f"{ID_PREFIX}{int(self._now())}-{''.join(rng.choices(DIGITS, k=8))}"

    def submitted(self, generation: Generation) -> dict[str, Any]:
        asked = generation.asked
        reserved = round(CREDITS_PER_SECOND.get(asked.resolution, 9.0) * asked.video_seconds, 1)
        answer = self._task(generation, "pending", 0)
        answer["task_info"] = {
            "can_cancel": True,
            "estimated_time": math.ceil(generation.fate.seconds),
            "video_duration": asked.video_seconds,
        }
        answer["usage"] = {"billing_rule": "per_second", "credits_reserved": reserved, "user_group": "default"}
        return answer

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        finished = phase in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)
        progress = generation.progress(now) if phase in (Phase.STARTING, Phase.RUNNING, Phase.COMPLETED) else 0
        record = self._task(generation, word or WORDS[phase], progress)
        record["task_info"] = {"can_cancel": not finished}
        if phase is Phase.COMPLETED:
            record["results"] = generation.links
        elif finished:
            record["error"] = _task_error(generation)
        return record

    def _task(self, generation: Generation, status: str, progress: int) -> dict[str, Any]:
        return {
            "created": int(generation.created_at),
            "id": generation.request_id,
            "model": generation.asked.model,
            "object": "video.generation.task",
            "progress": progress,
            "status": status,
            "type": "video",
        }

    def listed(self, _generations: Sequence[Generation], _total: int, _now: float, /) -> None:
        return None

    def account(self) -> dict[str, Any]:
        balance = {"remaining_credits": 1000000.0, "used_credits": 0.0}
        return {"success": True, "data": {"token": balance | {"unlimited_credits": False}, "user": balance}}

    def error(self, refusal: Refusal) -> dict[str, Any]:
        kind = ERROR_TYPES.get(refusal.status, "invalid_request_error")
        body = {"code": refusal.code, "message": refusal.message, "type": kind}
        return {"error": body | ({"param": refusal.param} if refusal.param else {})}

    def unknown(self) -> Refusal:
        return Refusal(404, "task_not_found", "the task does not exist", param="task_id")


def _task_error(generation: Generation) -> dict[str, str]:
    fate = generation.fate
    code = "request_cancelled" if fate.outcome is Outcome.CANCELLED else fate.code
    return {"code": code, "message": fate.message, "type": "task_error"}


def check_callback_url(url: Any, *, allow_loopback: bool) -> None:
    """EvoLink's rules: https only, no internal addresses, at most 2048 characters; raises `Refusal`.

    Names are judged as written (only `localhost` is known to be internal); they are not resolved.
    """
    if not isinstance(url, str):
        raise checks.bad("callback_url", "callback_url must be a string")
    if len(url) > CALLBACK_URL_CHARACTERS:
        raise checks.bad("callback_url", f"callback_url must not exceed {CALLBACK_URL_CHARACTERS} characters")
    host = checks.https_url(url, "callback_url").hostname or ""
    if not _is_allowed(host, allow_loopback):
        raise checks.bad("callback_url", "callback_url must not point to an internal address")


def _is_allowed(host: str, allow_loopback: bool) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return allow_loopback
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", host)  # 127.1, 0x7f000001
    if address.is_loopback:
        return allow_loopback
    return address.is_global
