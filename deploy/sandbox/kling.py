"""Kling's own API: the model in the path, the caller's own task id, a callback at every change of status.

https://kling.ai/document-api/api/video/3-0-turbo/image-to-video
https://kling.ai/document-api/api/get-started/callbacks
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.sandbox import checks
from deploy.sandbox.answers import Call, Refusal
from deploy.sandbox.evolink import check_callback_url
from deploy.sandbox.generations import Asked, Generation, Phase
from deploy.sandbox.signing import StandardSigner
from deploy.sandbox.wire_format import Route, Wire

TASKS = "/tasks"
COSTS = "/account/costs"
SUBMIT = re.compile(r"/((?:text|image)-to-video/kling-[0-9a-z.-]+)")
LISTED, MOST_LISTED = 100, 500
LINK_SECONDS = 30 * 24 * 3600.0
SHORT_SIDES = {"720p": 720, "1080p": 1080, "4k": 2160}

WORDS = {
    Phase.WAITING: "submitted",
    Phase.STARTING: "processing",
    Phase.RUNNING: "processing",
    Phase.COMPLETED: "succeeded",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "failed",
}

CODES = {
    401: 1000,
    402: 1102,
    403: 1103,
    404: 1203,
    429: 1302,
    500: 5000,
    503: 5001,
}
"""The code in the body of an error, by the status of a refusal that is not Kling's own."""


@dataclass(frozen=True)
class _Model:
    settings: Mapping[str, tuple[str, ...]]  # the words of each, the first its default
    frames: tuple[str, ...] = ()  # of an image-to-video model
    prompt: int = 3072
    durations: tuple[int, ...] = tuple(range(3, 16))


_RATIO = {"aspect_ratio": ("16:9", "9:16", "1:1")}
_TURBO: dict[str, tuple[str, ...]] = {"resolution": ("720p", "1080p")}
_V3: dict[str, tuple[str, ...]] = {"resolution": ("720p", "1080p", "4k"), "audio": ("off", "native")}

MODELS = {
    "text-to-video/kling-3.0-turbo": _Model(_TURBO | _RATIO),
    "image-to-video/kling-3.0-turbo": _Model(_TURBO, ("first_frame",), 2500),
    "text-to-video/kling-3.0": _Model(_V3 | _RATIO),
    "image-to-video/kling-3.0": _Model(_V3, ("first_frame", "last_frame")),
}


class Kling(Wire):
    """The wire format of Kling."""

    name = "kling"
    link_seconds = LINK_SECONDS

    def __init__(self, secret: str, *, allow_loopback_callbacks: bool) -> None:
        self.signer = StandardSigner(secret)
        self._allow_loopback = allow_loopback_callbacks

    def route(self, method: str, path: str) -> Route | None:
        if path == TASKS:
            return {"GET": Route("poll"), "POST": Route("list")}.get(method)
        if (method, path) == ("GET", COSTS):
            return Route("account")
        found = SUBMIT.fullmatch(path)
        return Route("submit", model=found[1]) if found and method == "POST" else None

    def named(self, _route: Route, query: Mapping[str, str], held: Sequence[Generation]) -> str:
        own, external = query.get("task_ids", ""), query.get("external_task_ids", "")
        if bool(own) == bool(external):
            raise _bad("task_ids", "give task_ids or external_task_ids")
        found = (item.request_id for item in held if external and item.asked.external_id == external)
        return next(found, own)

    def order(self, body: Any, route: Route, _query: Mapping[str, str]) -> Asked:
        model = MODELS.get(route.model)
        if model is None:
            raise Refusal(404, "1203", "the model does not exist", param="model")
        if not isinstance(body, dict):
            raise _bad("body", "the body must be an object")
        has_frames = bool(model.frames)
        checks.only(body, ("contents" if has_frames else "prompt", "settings", "options"), route.model)
        given = _contents(body, model) if has_frames else {"prompt": body.get("prompt")}
        prompt = checks.text(given, "prompt", longest=model.prompt, required=True)
        settings = _object(body, "settings")
        checks.only(settings, (*model.settings, "duration", "multi_shot"), route.model)
        words = {name: checks.choice(settings, name, some, some[0]) for name, some in model.settings.items()}
        seconds = settings.get("duration", 5)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds not in model.durations:
            raise _bad("duration", f"duration must be an int, one of {model.durations}")
        checks.storyboard(prompt, seconds, ("[Ss]hot",))
        ratio = checks.RATIOS[words.get("aspect_ratio", "16:9")]
        for frame in model.frames:
            size = checks.image(given, frame, inline=True, required=frame == "first_frame")
            ratio = size or ratio if frame == "first_frame" else ratio
        options = _object(body, "options")
        checks.only(options, ("callback_url", "external_task_id", "watermark_info"), route.model)
        width, height = _size(words["resolution"], ratio)
        url, external = options.get("callback_url"), options.get("external_task_id", "")
        if url is not None:
            check_callback_url(url, allow_loopback=self._allow_loopback)
        return Asked(route.model, body, seconds, width, height, words["resolution"], url, str(external))

    def new_id(self, rng: random.Random) -> str:
        return str(rng.randrange(8 * 10**17, 9 * 10**17))

    def submitted(self, generation: Generation) -> dict[str, Any]:
        return _answer(self._task(generation, generation.created_at, "submitted"))

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        return _answer([self.callback(generation, now, word)])

    def callback(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        task = self._task(generation, now, word or WORDS[phase])
        task |= {"message": "", "outputs": [], "billing": []}
        if phase is Phase.COMPLETED:
            task["outputs"] = [
                {"type": "video", "id": f"{generation.request_id}{n}", "url": url, "duration": str(float(seconds))}
                for n, (url, seconds) in enumerate((url, generation.asked.video_seconds) for url in generation.links)
            ]
            units = str(round(0.8 * generation.asked.video_seconds, 2))
            task["billing"] = [{"charge_type": "unit", "amount": units, "package_type": "video"}]
        elif phase in (Phase.FAILED, Phase.CANCELLED):
            task["message"] = f"{generation.fate.message} ({generation.fate.code})"
        return task

    def told_at(self, generation: Generation) -> Sequence[float]:
        """When it is submitted, and when it is processed."""
        if not generation.fate.seconds:
            return ()
        return generation.created_at, generation.created_at + 0.2 * generation.fate.seconds

    def _task(self, generation: Generation, now: float, status: str) -> dict[str, Any]:
        return {
            "id": generation.request_id,
            "status": status,
            "create_time": round(generation.created_at * 1000),
            "update_time": round(min(now, generation.finishes_at) * 1000),
            "external_id": generation.asked.external_id,
        }

    def page(self, call: Call, held: Sequence[Generation], now: float) -> dict[str, Any]:
        """The tasks of a window of time, the newest first; with a cursor the times are ignored."""
        asked = call.json() if call.body else {}
        start, end = (int(asked.get(name) or default) for name, default in (("start_time", 0), ("end_time", 2**53)))
        first, limit = int(asked.get("cursor") or 0), int(asked.get("limit") or LISTED)
        if not 1 <= limit <= MOST_LISTED:
            raise _bad("limit", f"limit must be within 1 and {MOST_LISTED}")
        ours = [item for item in held if first or start <= item.created_at * 1000 <= end]
        page, rest = ours[first : first + limit], ours[first + limit :]
        more = {"next_cursor": str(first + limit) if rest else "", "has_more": bool(rest)}
        return _answer({"result": [self.callback(item, now) for item in page], "count": len(page), **more})

    def listed(self, _generations: Sequence[Generation], _total: int, _now: float, /) -> None:
        return None

    def account(self) -> dict[str, Any]:
        pack = {"resource_pack_name": "video", "status": "online", "remaining_quantity": 1000.0}
        return _answer({"code": 0, "resource_pack_subscribe_infos": [pack]})

    def error(self, refusal: Refusal) -> dict[str, Any]:
        if refusal.code == "no_task":
            return _answer([])
        code = int(refusal.code) if refusal.code.isdigit() else CODES.get(refusal.status, 1201)
        return {"code": code, "message": refusal.message, "request_id": "9984d27b-a408-4073-ae28-17ca6a13622d"}

    def unknown(self) -> Refusal:
        return Refusal(200, "no_task", "there is no such task")


def _answer(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "9984d27b-a408-4073-ae28-17ca6a13622d", "data": data}


def _bad(param: str, message: str) -> Refusal:
    return Refusal(400, "1201", message, param=param)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise _bad(name, f"{name} must be an object")
    return value


def _contents(body: Mapping[str, Any], model: _Model) -> dict[str, Any]:
    """The prompt and the frames of `contents`, each at most once."""
    contents = body.get("contents")
    if not isinstance(contents, list) or not all(isinstance(item, dict) for item in contents):
        raise _bad("contents", "contents must be a list of objects")
    found: dict[str, Any] = {}
    for item in contents:
        kind = item.get("type")
        if kind not in ("prompt", *model.frames) or kind in found:
            raise _bad("contents", f"contents takes prompt and {', '.join(model.frames)}, each once")
        found[kind] = item.get("text" if kind == "prompt" else "url")
    return found


def _size(resolution: str, ratio: tuple[int, int]) -> tuple[int, int]:
    width, height = checks.picture_size("720p", ratio)
    return width * SHORT_SIDES[resolution] // 720, height * SHORT_SIDES[resolution] // 720
