"""APIMart's wire format, as its documents give it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from deploy.sandbox import images

SUBMIT = "/apimart/v1/videos/generations"
MODEL = "kling-3.0-turbo"
IMAGE = "https://example.com/first.jpg"
SCENARIOS = [
    {"prompt": "A corgi running on the beach", "resolution": "1080p", "duration": 5, "aspect_ratio": "16:9"},
    {"prompt": "A corgi", "resolution": "720p", "duration": 6, "aspect_ratio": "9:16"},
    {"prompt": "The corgi runs", "first_frame_image": IMAGE, "duration": 5},
    {"first_frame_image": IMAGE, "duration": 5},
    {"prompt": "Shot 1, 3, a corgi wakes up; Shot 2, 2, it runs, fast;", "duration": 5},
]


@pytest.mark.parametrize("fields", SCENARIOS)
def test_each_documented_scenario_is_taken(caller: Any, fields: dict[str, Any]) -> None:
    reply = caller.post(SUBMIT, {"model": MODEL, **fields})

    answer = reply.json()
    assert reply.status == 200
    assert answer["code"] == 200
    assert [(item["status"], item["task_id"][:5]) for item in answer["data"]] == [("submitted", "task_")]


def test_a_task_progresses_and_tells_when_its_links_die(caller: Any, control: Any) -> None:
    request_id = caller.submit_apimart()
    seen = [caller.apimart(request_id)]

    for _ in range(3):
        control.advance(20.5)
        seen.append(caller.apimart(request_id))

    assert [task["status"] for task in seen] == ["pending", "processing", "processing", "completed"]
    assert seen[3]["completed"] - seen[3]["created"] in (60, 61)
    (video,) = seen[3]["result"]["videos"]
    assert len(video["url"]) == 1
    assert video["expires_at"] - seen[3]["completed"] in (86400, 86401)
    assert not any("result" in task or "completed" in task for task in seen[:3])


@pytest.mark.parametrize(("outcome", "has_error"), [("failed", True), ("cancelled", False)])
def test_an_unhappy_end_has_no_result(caller: Any, control: Any, outcome: str, has_error: bool) -> None:
    control.script({"on": "generation", "seconds": 0, "outcome": outcome, "code": "nope"})

    task = caller.apimart(caller.submit_apimart())

    assert (task["status"], "result" in task, "error" in task) == (outcome, False, has_error)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "x", "duration": "5"},
        {"prompt": "x", "duration": 2},
        {"prompt": "x", "duration": 16},
        {"prompt": "x", "duration": 4.5},
        {"prompt": "x", "duration": False},
        {"prompt": "x" * 3073},
        {"prompt": "  "},
        {},
        {"first_frame_image": ""},
        {"first_frame_image": "http://example.com/a.jpg"},
        {"prompt": "x", "resolution": "480p"},
        {"prompt": "x", "aspect_ratio": "21:9"},
        {"first_frame_image": IMAGE, "aspect_ratio": "21:9"},
        {"prompt": "x", "watermark": "true"},
        {"prompt": "x", "callback_url": "https://example.com/"},
        {"prompt": "x", "model": "Kling-3.0-Turbo"},
    ],
)
def test_a_wrong_body_is_refused(caller: Any, control: Any, fields: dict[str, Any]) -> None:
    reply = caller.post(SUBMIT, {"model": MODEL, **fields})

    assert (reply.status, reply.json()["error"]["code"]) == (400, 400)
    assert control.requests() == []


@pytest.mark.parametrize(
    "prompt",
    [
        "Shot 1, 3, a; Shot 2, 3, b;",
        "Shot 1, 5, a; Shot 3, 0, b;",
        "Shot 2, 5, a;",
        "Shot 1, 5, ;",
        "Shot 1, 4.5, a; Shot 2, 0.5, b",
        "Shot 1, 5, " + "a" * 513,
        "; ".join(f"Shot {n}, 1, a" for n in range(1, 8)),
        "shot 1, 3, a; then two more; shot 2, 2, b",
    ],
)
def test_a_storyboard_against_its_grammar_is_refused(caller: Any, prompt: str) -> None:
    reply = caller.post(SUBMIT, {"model": MODEL, "prompt": prompt, "duration": 5})

    assert reply.status == 400


def test_a_prompt_that_only_mentions_a_shot_is_no_storyboard(caller: Any) -> None:
    assert caller.post(SUBMIT, {"model": MODEL, "prompt": "Shot at dusk, 35 mm; wide; slow"}).status == 200


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_an_image_may_come_as_base64_and_decides_the_ratio(caller: Any, control: Any, prefix: str) -> None:
    content = base64.b64encode(images.png("portrait-frame.png")).decode()

    caller.submit_apimart(first_frame_image=prefix + content, aspect_ratio="16:9")

    (request,) = control.requests()
    assert request["video"] == {"seconds": 5, "width": 720, "height": 1280}


def _jpeg(width: int, height: int) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x0b\x08" + size + b"\x01\x01\x11\x00\xff\xd9"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (_jpeg(300, 300), 200),
        (_jpeg(750, 300), 200),
        (_jpeg(299, 400), 400),
        (_jpeg(751, 300), 400),
        (b"GIF89a" + bytes(30), 400),
        (b"\xff\xd8\xff", 400),
        (b"", 400),
    ],
)
def test_an_images_size_is_looked_at(caller: Any, content: bytes, status: int) -> None:
    body = {"model": MODEL, "first_frame_image": "data:image/jpeg;base64," + base64.b64encode(content).decode()}

    assert caller.post(SUBMIT, body).status == status


@pytest.mark.parametrize("path", ["/apimart/v1/balance", "/apimart/v1/user/balance"])
def test_the_balance_is_told(caller: Any, path: str) -> None:
    assert caller.get(path).json()["remain_balance"] > 0


def test_an_unknown_task_is_404(caller: Any) -> None:
    assert caller.get("/apimart/v1/tasks/task_0123").status == 404


def settled(control: Any, request_id: str, count: int) -> Callable[[], list[Any] | None]:
    """Whether *count* deliveries about *request_id* have been answered; the deliveries."""

    def look() -> list[Any] | None:
        found = [item for item in control.history(request_id=request_id, kind="callback") if "taken" in item]
        return found if len(found) >= count else None

    return look


def test_a_finished_task_is_told_flat_at_the_base_with_callback_appended(
    caller: Any, control: Any, receiver: Any, wait_until: Callable[..., Any]
) -> None:
    request_id = caller.submit_apimart(prompt="a corgi", webhook=f"{receiver.url}/")

    control.advance(60)

    wait_until(settled(control, request_id, 1))
    (arrived,) = receiver.received
    assert arrived.path == "/callbacks/evolink/job-1/1/secret-token/callback"
    assert arrived.body == caller.apimart(request_id)
    assert (arrived.body["cost"], arrived.body["credits_cost"]) == (0.425, 4.25)


def test_a_callback_comes_again_after_a_5xx_and_never_after_a_4xx(
    caller: Any, control: Any, receiver: Any, wait_until: Callable[..., Any]
) -> None:
    receiver.statuses = [503, 404, 200]
    request_id = caller.submit_apimart(prompt="a corgi", webhook=receiver.url)

    control.advance(60)
    wait_until(settled(control, request_id, 1))
    control.advance(10)
    wait_until(settled(control, request_id, 2))
    control.advance(300)
    told = caller.submit_apimart(prompt="another", webhook=receiver.url)
    control.advance(60)
    wait_until(settled(control, told, 1))

    assert [item["status"] for item in control.history(kind="callback")] == [503, 404, 200]


@pytest.mark.parametrize("base", ["https://example.com:8443/x", "http://10.0.0.1/x", "https://192.168.0.1/x", "x", 5])
def test_an_address_that_is_not_allowed_is_dropped_without_a_word(caller: Any, control: Any, base: object) -> None:
    request_id = caller.submit_apimart(prompt="a corgi", webhook=base)

    control.advance(60)

    assert caller.apimart(request_id)["status"] == "completed"
    assert control.history(kind="callback") == []


def test_the_same_key_and_body_are_one_request_only_where_keys_are_honoured(caller: Any, control: Any) -> None:
    control.script({"on": "submit", "times": 1}, {"on": "submit", "honours_key": True, "times": 2})
    key = {"Idempotency-Key": "job-1-1"}
    body = {"model": MODEL, "prompt": "a corgi"}

    first, again, other = (
        caller.post(SUBMIT, sent, headers=key) for sent in (body, body, {**body, "prompt": "another"})
    )
    without = caller.post(SUBMIT, body, headers=key)

    assert first.json() == again.json() != without.json()
    assert (again.headers["Idempotency-Replayed"], other.status) == ("true", 409)
    assert len(control.requests()) == 2


def test_a_model_without_rules_here_is_taken_as_it_comes(caller: Any, control: Any) -> None:
    body = {"model": "some-video-9", "size": "1:1", "duration": "8", "quality": "1080p", "anything": {"goes": [1]}}

    request_id = caller.post(SUBMIT, body).json()["data"][0]["task_id"]

    (request,) = control.requests()
    assert request["request_id"] == request_id
    assert request["model"] == "some-video-9"
