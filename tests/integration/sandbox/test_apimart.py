"""APIMart's wire format, as its documents give it."""

from __future__ import annotations

import base64
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
        {"prompt": "x", "webhook": "https://example.com/"},
        {"prompt": "x", "model": "kling-3.0"},
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
