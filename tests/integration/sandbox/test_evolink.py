"""EvoLink's wire format, as its documents give it."""

from __future__ import annotations

from typing import Any

import pytest

SUBMIT = "/evolink/v1/videos/generations"
TASKS = "/evolink/v1/tasks"
MODEL = "kling-v3-turbo-image-to-video"
IMAGE = "https://your-cdn.com/start-frame.jpg"
GOOD = {"model": MODEL, "image_start": IMAGE}


def test_the_documented_example_is_taken(caller: Any) -> None:
    example = GOOD | {
        "prompt": "A gentle breeze sweeps across the scene, bringing a subtle sense of motion",
        "quality": "720p",
        "duration": 5,
        "callback_url": "https://your-domain.com/webhooks/video-task-completed",
    }

    reply = caller.post(SUBMIT, example)

    answer = reply.json()
    assert reply.status == 200
    assert answer["id"].startswith("task-unified-")
    assert (answer["object"], answer["type"], answer["status"], answer["progress"]) == (
        "video.generation.task",
        "video",
        "pending",
        0,
    )
    assert answer["task_info"] == {"can_cancel": True, "estimated_time": 60, "video_duration": 5}
    assert answer["usage"] == {"billing_rule": "per_second", "credits_reserved": 36.0, "user_group": "default"}


def test_a_task_progresses_and_gives_results_only_when_completed(caller: Any, control: Any) -> None:
    request_id = caller.submit_evolink()
    seen = [caller.evolink(request_id)]

    for _ in range(3):
        control.advance(20.5)
        seen.append(caller.evolink(request_id))

    assert [task["status"] for task in seen] == ["pending", "processing", "processing", "completed"]
    assert [task["progress"] for task in seen][::3] == [0, 100]
    assert 0 < seen[1]["progress"] < seen[2]["progress"] < 100
    assert ["results" in task for task in seen] == [False, False, False, True]
    assert all(isinstance(link, str) for link in seen[3]["results"])
    assert not any("usage" in task for task in seen)


@pytest.mark.parametrize(
    ("outcome", "code"), [("failed", "content_policy_violation"), ("cancelled", "request_cancelled")]
)
def test_an_unhappy_end_is_failed_with_a_task_error(caller: Any, control: Any, outcome: str, code: str) -> None:
    control.script({"on": "generation", "seconds": 0, "outcome": outcome, "code": code, "message": "No."})

    task = caller.evolink(caller.submit_evolink())

    assert task["status"] == "failed"
    assert task["error"] == {"code": code, "message": "No.", "type": "task_error"}
    assert "results" not in task


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": "Kling-v3-turbo-image-to-video"}, "model"),
        ({"aspect_ratio": "16:9"}, "aspect_ratio"),
        ({"quality": "4k"}, "quality"),
        ({"duration": "5"}, "duration"),
        ({"duration": 5.5}, "duration"),
        ({"duration": True}, "duration"),
        ({"duration": 2}, "duration"),
        ({"duration": 16}, "duration"),
        ({"prompt": "x" * 2501}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "镜头 1, 2, a; 镜头 2, 2, b;"}, "prompt"),
        ({"image_start": None}, "image_start"),
        ({"image_start": "http://cdn.example.com/a.png"}, "image_start"),
        ({"image_start": "data:image/png;base64,iVBORw0KGgo="}, "image_start"),
        ({"image_start": ["https://cdn.example.com/a.png"]}, "image_start"),
        ({"image_start": "https://cdn.example.com/a.webp"}, "image_start"),
        ({"first_frame_image": IMAGE}, "first_frame_image"),
        ({"callback_url": "http://example.com/cb"}, "callback_url"),
        ({"callback_url": "https://10.1.2.3/cb"}, "callback_url"),
        ({"callback_url": "https://172.16.0.1/cb"}, "callback_url"),
        ({"callback_url": "https://192.168.1.1/cb"}, "callback_url"),
        ({"callback_url": "https://169.254.169.254/cb"}, "callback_url"),
        ({"callback_url": "https://[fd00::1]/cb"}, "callback_url"),
        ({"callback_url": "https://[::ffff:10.0.0.1]/cb"}, "callback_url"),
        ({"callback_url": "https://2130706433/cb"}, "callback_url"),
        ({"callback_url": "https://0x7f.1/cb"}, "callback_url"),
        ({"callback_url": "https://example.com/a b"}, "callback_url"),
        ({"callback_url": "https://example.com:99999/"}, "callback_url"),
        ({"callback_url": "https://example.com/" + "x" * 2029}, "callback_url"),
        ({"callback_url": 5}, "callback_url"),
    ],
)
def test_a_wrong_body_is_refused_with_its_field(caller: Any, control: Any, change: dict[str, Any], param: str) -> None:
    reply = caller.post(SUBMIT, GOOD | change)

    error = reply.json()["error"]
    assert reply.status == 400
    assert (error["code"], error["type"], error["param"]) == ("invalid_request", "invalid_request_error", param)
    assert control.requests() == []


@pytest.mark.parametrize(
    "url", ["https://example.com/" + "x" * 2028, "https://8.8.8.8/cb", "https://127.0.0.1:9/cb", "https://localhost/cb"]
)
def test_a_good_callback_url_is_taken(caller: Any, url: str) -> None:
    assert caller.post(SUBMIT, GOOD | {"callback_url": url}).status == 200


def test_a_storyboard_that_adds_up_is_taken(caller: Any) -> None:
    prompt = "镜头 1, 2, a dog, running; 镜头 2, 3, a cat;"

    assert caller.post(SUBMIT, GOOD | {"prompt": prompt, "duration": 5}).status == 200


def test_an_id_of_another_shape_is_not_even_looked_up(caller: Any) -> None:
    reply = caller.get(f"{TASKS}/task_01")

    assert reply.status == 400
    assert reply.json()["error"]["code"] == "invalid_task_id"


def test_an_unknown_task_is_404(caller: Any) -> None:
    reply = caller.get(f"{TASKS}/task-unified-1-abcdefgh")

    assert (reply.status, reply.json()["error"]["code"]) == (404, "task_not_found")


def test_the_credits_are_told(caller: Any) -> None:
    assert caller.get("/evolink/v1/credits").json()["data"]["token"]["remaining_credits"] > 0
