"""Kling, fal and Replicate: their answers, their signatures, and what can be asked of them beside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook

from tests.integration.sandbox.conftest import START, Received, Receiver

Wait = Callable[..., None]

KLING = "/kling/image-to-video/kling-3.0-turbo"
FAL_MODEL = "fal-ai/kling-video/v3/pro/image-to-video"
FAL = "/fal/fal-ai/kling-video/requests"
REPLICATE = "/replicate/v1/predictions"
FRAME = "https://cdn.example.com/frame-720x1280.png"


class Asking:
    """Submits to each of the three as their documents say."""

    def __init__(self, caller: Any) -> None:
        self.caller = caller

    def kling(self, callback_url: str | None = None, **options: Any) -> Any:
        wanted = {"callback_url": callback_url, **options} if callback_url else options
        contents = [{"type": "prompt", "text": "a corgi"}, {"type": "first_frame", "url": FRAME}]
        return self.caller.post(KLING, {"contents": contents, "settings": {"duration": 3}, "options": wanted})

    def fal(self, callback_url: str | None = None, **fields: Any) -> Any:
        query = f"?fal_webhook={callback_url}" if callback_url else ""
        body = {"prompt": "a corgi", "start_image_url": FRAME, "duration": "3", **fields}
        return self.caller.post(f"/fal/{FAL_MODEL}{query}", body, scheme="Key")

    def replicate(self, callback_url: str | None = None, **fields: Any) -> Any:
        webhook = {"webhook": callback_url, "webhook_events_filter": ["completed"]} if callback_url else {}
        body = {"input": {"prompt": "a corgi", "duration": 5, **fields}, **webhook}
        return self.caller.post("/replicate/v1/models/kwaivgi/kling-v2.6/predictions", body)

    def id_of(self, provider: str, callback_url: str | None = None) -> str:
        reply = getattr(self, provider)(callback_url).json()
        return str({"kling": reply.get("data", {}).get("id")}.get(provider) or reply.get("request_id") or reply["id"])


@pytest.fixture
def asking(caller: Any) -> Asking:
    return Asking(caller)


def is_signed_by(control: Any, provider: str, came: Received, *, number: int = 0) -> bool:
    """Whether *came* holds by the provider's key of that number, the newest being 0; by foreign code."""
    if provider != "fal":
        secret = control.signing()[provider]["secrets"][number]
        at = datetime.fromtimestamp(int(came.headers["webhook-timestamp"]), UTC)
        expected = Webhook(secret).sign(came.headers["webhook-id"], at, came.raw.decode())
        return expected in came.headers["webhook-signature"].split()
    x = control.signing()["fal"]["x"][number]
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "="))
    names = ("request-id", "user-id", "timestamp")
    lines = [came.headers[f"x-fal-webhook-{name}"] for name in names] + [hashlib.sha256(came.raw).hexdigest()]
    try:
        key.verify(bytes.fromhex(came.headers["x-fal-webhook-signature"]), "\n".join(lines).encode())
    except InvalidSignature:
        return False
    return True


every = pytest.mark.parametrize("provider", ["kling", "fal", "replicate"])


@every
def test_the_end_of_a_generation_is_told_and_signed(
    asking: Asking, control: Any, receiver: Receiver, wait_until: Wait, provider: str
) -> None:
    request_id = asking.id_of(provider, receiver.url)

    control.advance(61)
    wait_until(lambda: any(body.get("status") in ("succeeded", "OK") for body in receiver.bodies()))

    came = receiver.received[-1]
    assert came.body.get("request_id", came.body.get("id")) == request_id
    assert is_signed_by(control, provider, came)


@every
@pytest.mark.parametrize("signature", ["wrong", "stale", "unsigned"])
def test_a_callback_can_be_signed_badly(
    asking: Asking, control: Any, receiver: Receiver, provider: str, signature: str
) -> None:
    request_id = asking.id_of(provider)

    control.callback(request_id, url=receiver.url, signature=signature)

    (came,) = receiver.received
    if signature == "unsigned":
        assert not [name for name in came.headers if "webhook" in name]
    else:
        assert is_signed_by(control, provider, came) is (signature == "stale")
        times = [int(value) for name, value in came.headers.items() if name.endswith("webhook-timestamp")]
        assert times == [START - 600 if signature == "stale" else START]


@every
@pytest.mark.parametrize(("rotate", "old_holds"), [("standard", True), ("emergency", False)])
def test_keys_can_be_rotated(
    asking: Asking, control: Any, receiver: Receiver, provider: str, rotate: str, old_holds: bool
) -> None:
    first = control.signing()[provider]
    request_id = asking.id_of(provider)

    control.sign(provider, rotate=rotate)
    control.callback(request_id, url=receiver.url)

    (came,) = receiver.received
    (told,) = control.signing()[provider].values()
    (before,) = first.values()
    assert is_signed_by(control, provider, came)
    assert (before[0] in told) is old_holds
    assert told[0] != before[0]
    if provider != "fal" and old_holds:
        assert is_signed_by(control, provider, came, number=1), "while it lasts, both sign"


@every
def test_copies_of_one_order_are_replays(asking: Asking, control: Any, receiver: Receiver, provider: str) -> None:
    request_id = asking.id_of(provider)

    control.callback(request_id, url=receiver.url, copies=2)

    first, again = receiver.received
    signed = [{name: value for name, value in came.headers.items() if "webhook" in name} for came in (first, again)]
    assert (first.raw, signed[0]) == (again.raw, signed[1])


def test_fal_publishes_its_keys_to_anybody_unless_they_are_away(caller: Any, control: Any) -> None:
    keys = caller.get("/fal/.well-known/jwks.json", key=None).json()["keys"]
    control.sign("fal", keys="down")

    away = caller.get("/fal/.well-known/jwks.json", key=None)

    assert [(key["kty"], key["crv"], key["x"]) for key in keys] == [
        ("OKP", "Ed25519", control.signing()["fal"]["x"][0])
    ]
    assert away.status == 503


def test_fal_takes_a_webhook_in_the_query_alone(
    asking: Asking, control: Any, receiver: Receiver, wait_until: Wait
) -> None:
    silent = asking.fal(webhook=receiver.url, fal_webhook=receiver.url).json()["request_id"]
    heard = asking.fal(receiver.url).json()["request_id"]

    control.advance(61)
    wait_until(lambda: receiver.bodies())

    assert [body["request_id"] for body in receiver.bodies()] == [heard]
    assert asking.caller.get(f"{FAL}/{silent}/status", scheme="Key").json()["status"] == "COMPLETED"


def test_fals_result_is_a_call_of_its_own(asking: Asking, control: Any) -> None:
    answer = asking.fal().json()
    control.script({"on": "generation", "outcome": "failed", "code": "content_policy_violation", "message": "no"})
    failing = asking.fal().json()
    running = asking.caller.get(answer["response_url"], scheme="Key")

    control.advance(61)

    states = [asking.caller.get(item["status_url"], scheme="Key").json()["status"] for item in (answer, failing)]
    done, failed = (asking.caller.get(item["response_url"], scheme="Key") for item in (answer, failing))
    assert (running.status, states) == (400, ["COMPLETED", "COMPLETED"])
    assert done.json()["video"]["url"].startswith("https://")
    assert (failed.status, failed.headers["x-fal-error-type"]) == (422, "content_policy_violation")


def test_fal_cancels_only_what_waits(asking: Asking, control: Any) -> None:
    waiting = asking.fal().json()
    stopped = asking.caller.call("PUT", waiting["cancel_url"], scheme="Key")
    running = asking.fal().json()
    control.advance(30)

    late = asking.caller.call("PUT", running["cancel_url"], scheme="Key")

    assert (stopped.status, late.status) == (202, 400)


def test_fals_history_tells_what_was_asked_by_model_and_time(asking: Asking, control: Any) -> None:
    request_id = asking.fal().json()["request_id"]
    page = f"/fal/v1/models/requests/by-endpoint?endpoint_id={FAL_MODEL}&limit=1&expand=payloads"
    control.advance(1)
    asking.fal(prompt="another")

    first = asking.caller.get(page, scheme="Key").json()
    second = asking.caller.get(f"{page}&cursor={first['next_cursor']}", scheme="Key").json()

    assert (first["items"][0]["json_input"]["prompt"], first["has_more"]) == ("another", True)
    assert (second["items"][0]["request_id"], second["has_more"]) == (request_id, False)


def test_replicates_links_and_inputs_are_gone_after_an_hour(asking: Asking, control: Any) -> None:
    request_id = asking.replicate().json()["id"]
    control.advance(61)
    done = asking.caller.get(f"{REPLICATE}/{request_id}").json()
    was_there = asking.caller.get(done["output"], key=None).status

    control.advance(3600)

    gone = asking.caller.get(f"{REPLICATE}/{request_id}").json()
    assert (done["input"]["prompt"], was_there) == ("a corgi", 200)
    assert (gone["output"], gone["input"], gone["data_removed"]) == (None, {}, True)
    assert asking.caller.get(done["output"], key=None).status == 403


def test_replicate_cancels_what_is_not_over_and_lists_it(asking: Asking, control: Any) -> None:
    first, second = asking.replicate().json(), asking.replicate(prompt="another").json()
    stopped = asking.caller.post(first["urls"]["cancel"], None)
    control.advance(61)

    late = asking.caller.post(second["urls"]["cancel"], None)

    listed = asking.caller.get(REPLICATE).json()["results"]
    assert (stopped.json()["status"], late.status) == ("canceled", 409)
    assert [(item["input"]["prompt"], item["status"]) for item in listed] == [
        ("another", "succeeded"),
        ("a corgi", "canceled"),
    ]


def test_kling_finds_a_task_by_the_callers_own_id_which_is_unique(asking: Asking) -> None:
    task = asking.kling(external_task_id="job-1-1").json()["data"]

    again = asking.kling(external_task_id="job-1-1")

    found = asking.caller.get("/kling/tasks?external_task_ids=job-1-1").json()["data"]
    assert (again.status, again.json()["code"]) == (400, 1201)
    assert [(item["id"], item["external_id"]) for item in found] == [(task["id"], "job-1-1")]
    assert asking.caller.get("/kling/tasks?external_task_ids=job-2-1").json()["data"] == []
    assert asking.caller.get(f"/kling/tasks?task_ids={task['id']}").json()["data"] == found


def test_kling_lists_a_window_of_time(asking: Asking, control: Any) -> None:
    old = asking.kling().json()["data"]["id"]
    control.advance(100)
    new = asking.kling().json()["data"]["id"]

    window = {"start_time": round((START + 50) * 1000), "end_time": round((START + 200) * 1000)}
    within = asking.caller.post("/kling/tasks", window).json()["data"]
    first = asking.caller.post("/kling/tasks", {"limit": 1}).json()["data"]
    second = asking.caller.post("/kling/tasks", {"limit": 1, "cursor": first["next_cursor"]}).json()["data"]

    assert [item["id"] for item in within["result"]] == [new]
    assert [first["result"][0]["id"], second["result"][0]["id"]] == [new, old]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_kling_calls_back_at_every_change_of_status(
    asking: Asking, control: Any, receiver: Receiver, wait_until: Wait
) -> None:
    asking.kling(receiver.url)

    control.advance(61)

    wait_until(lambda: len(receiver.bodies()) == 3)
    assert sorted(body["status"] for body in receiver.bodies()) == ["processing", "submitted", "succeeded"]


@every
def test_a_key_of_another_scheme_is_refused(caller: Any, provider: str) -> None:
    paths = {"kling": KLING, "fal": f"/fal/{FAL_MODEL}", "replicate": REPLICATE}
    scheme = "Bearer" if provider == "fal" else "Key"

    reply = caller.post(paths[provider], {}, scheme=scheme)

    assert reply.status == 401
    assert json.loads(reply.content)
