"""Replicate's predictions: the model in the path, its input in an object, signed webhooks, links that live an hour.

https://replicate.com/docs/reference/http
https://replicate.com/docs/topics/webhooks/verify-webhook
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.sandbox import checks
from deploy.sandbox.answers import Answer, Call, Refusal, json_answer
from deploy.sandbox.evolink import check_callback_url
from deploy.sandbox.generations import Asked, Generation, Phase
from deploy.sandbox.signing import StandardSigner
from deploy.sandbox.wire_format import LISTED, Route, Wire

PREDICTIONS = "/v1/predictions"
MODELS_PATH = "/v1/models/"
ACCOUNT = "/v1/account"
SECRET = "/v1/webhooks/default/secret"
ID_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
KEPT_SECONDS = 3600.0
"""The life of input, output and files, from the end of a prediction."""

EVENTS = frozenset({"start", "output", "logs", "completed"})
DURATIONS = (5, 10)

WORDS = {
    Phase.WAITING: "starting",
    Phase.STARTING: "processing",
    Phase.RUNNING: "processing",
    Phase.COMPLETED: "succeeded",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "canceled",
}


@dataclass(frozen=True)
class _Model:
    fields: frozenset[str]


# the models' own pages on replicate.com, as copied into public notes
MODELS = {
    "kwaivgi/kling-v2.6": _Model(
        frozenset({"prompt", "negative_prompt", "start_image", "aspect_ratio", "duration", "generate_audio"})
    ),
    "kwaivgi/kling-v2.5-turbo-pro": _Model(
        frozenset({"prompt", "negative_prompt", "start_image", "aspect_ratio", "duration"})
    ),
}


class Replicate(Wire):
    """The wire format of Replicate."""

    name = "replicate"
    link_seconds = KEPT_SECONDS
    retry_seconds = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)  # "exponential backoff", the last about a minute after the end
    submit_status = 201

    def __init__(self, secret: str, *, allow_loopback_callbacks: bool) -> None:
        self.signer = self._console = StandardSigner(secret)
        self._allow_loopback = allow_loopback_callbacks

    def route(self, method: str, path: str) -> Route | None:
        if method == "POST" and path.startswith(MODELS_PATH) and path.endswith("/predictions"):
            return Route("submit", model=path.removeprefix(MODELS_PATH).removesuffix("/predictions"))
        if method == "POST" and path.startswith(PREDICTIONS + "/") and path.endswith("/cancel"):
            return Route("cancel", path.removeprefix(PREDICTIONS + "/").removesuffix("/cancel"))
        if method == "GET":
            if path == PREDICTIONS:
                return Route("list")
            if path in (ACCOUNT, SECRET):
                return Route("account", path)
            if path.startswith(PREDICTIONS + "/"):
                return Route("poll", path.removeprefix(PREDICTIONS + "/"))
        return None

    def order(self, body: Any, route: Route, _query: Mapping[str, str]) -> Asked:
        model = MODELS.get(route.model)
        if model is None:
            raise Refusal(404, "not_found", "The requested resource could not be found.")
        if not isinstance(body, dict) or not isinstance(body.get("input"), dict):
            raise Refusal(422, "input", "input is required")
        checks.only(body, ("input", "webhook", "webhook_events_filter", "stream"), "a prediction")
        given = body["input"]
        checks.only(given, model.fields, route.model)
        checks.text(given, "prompt", longest=2500, required=True)
        checks.text(given, "negative_prompt", longest=2500)
        ratio = checks.RATIOS[checks.choice(given, "aspect_ratio", tuple(checks.RATIOS), "16:9")]
        ratio = checks.image(given, "start_image", inline=True) or ratio
        seconds = given.get("duration", 5)
        if isinstance(seconds, bool) or seconds not in DURATIONS:
            raise checks.bad("duration", f"duration must be one of {DURATIONS}")
        if not isinstance(given.get("generate_audio", False), bool):
            raise checks.bad("generate_audio", "generate_audio must be a boolean")
        size = checks.picture_size("1080p", ratio)
        return Asked(route.model, given, seconds, *size, "1080p", self._webhook(body))

    def _webhook(self, body: Mapping[str, Any]) -> str | None:
        """The address that is told of the prediction's end: of the events only that one is played."""
        url, events = body.get("webhook"), body.get("webhook_events_filter", ["output", "completed"])
        if not isinstance(events, list) or not EVENTS.issuperset(events):
            raise checks.bad("webhook_events_filter", f"webhook_events_filter holds other than {sorted(EVENTS)}")
        if url is None:
            return None
        check_callback_url(url, allow_loopback=self._allow_loopback)
        return str(url) if "completed" in events else None

    def new_id(self, rng: random.Random) -> str:
        return "".join(rng.choices(ID_DIGITS, k=26))

    def submitted(self, generation: Generation) -> dict[str, Any]:
        return self.record(generation, generation.created_at, "starting")

    def record(self, generation: Generation, now: float, word: str | None = None) -> dict[str, Any]:
        phase = generation.phase(now)
        is_over = now >= generation.finishes_at and word is None
        is_removed = now >= generation.finishes_at + KEPT_SECONDS
        page = f"{generation.base_url}/replicate{PREDICTIONS}/{generation.request_id}"
        record: dict[str, Any] = {
            "id": generation.request_id,
            "model": generation.asked.model,
            "version": "hidden",
            "input": {} if is_removed else dict(generation.asked.body),
            "logs": "",
            "output": None,
            "data_removed": is_removed,
            "error": None,
            "status": word or WORDS[phase],
            "source": "api",
            "created_at": _iso(generation.created_at),
            "started_at": None if phase is Phase.WAITING else _iso(generation.created_at),
            "completed_at": _iso(generation.finishes_at) if is_over else None,
            "urls": {
                "get": page,
                "cancel": f"{page}/cancel",
                "web": f"https://replicate.com/p/{generation.request_id}",
            },
            "metrics": {"predict_time": generation.fate.seconds} if is_over else {},
        }
        if phase is Phase.COMPLETED and not is_removed:
            record["output"] = generation.links[0] if len(generation.links) == 1 else generation.links
        elif phase is Phase.FAILED:
            record["error"] = f"{generation.fate.message} ({generation.fate.code})"
        return record

    def page(self, call: Call, held: Sequence[Generation], now: float) -> dict[str, Any]:
        """The newest hundred; `cursor` goes on where `next` says."""
        start = int(text) if (text := call.query.get("cursor", "0")).isdigit() else 0
        found = [self.record(item, now) for item in held[start : start + LISTED]]
        more = f"{call.base_url}/replicate{PREDICTIONS}?cursor={start + LISTED}" if len(held) > start + LISTED else None
        return {"previous": None, "next": more, "results": found}

    def listed(self, _generations: Sequence[Generation], _total: int, _now: float, /) -> None:
        return None

    def cancelled(self, generation: Generation, now: float) -> Answer:
        """The prediction as it is after a cancel; one that is over stays as it is."""
        if now >= generation.finishes_at:
            raise Refusal(409, "ended", "The prediction has ended already.")
        return json_answer(200, self.record(generation, now, "canceled"))

    def account(self) -> dict[str, Any]:
        return {"type": "user", "username": "sandbox", "name": "The sandbox", "key": self._console.told()["secrets"][0]}

    def status_of(self, refusal: Refusal) -> int:
        return 422 if refusal.status == 400 else refusal.status

    def error(self, refusal: Refusal) -> dict[str, Any]:
        title = {401: "Unauthenticated", 402: "Insufficient credit", 404: "Not found", 422: "Input validation failed"}
        status = self.status_of(refusal)
        detail = f"- input.{refusal.param}: {refusal.message}\n" if refusal.param else refusal.message
        return {"title": title.get(status, "Error"), "detail": detail, "status": status}

    def unknown(self) -> Refusal:
        return Refusal(404, "not_found", "The requested resource could not be found.")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
