"""GMI Cloud's wire format, as its documents give it."""

from __future__ import annotations

from typing import Any

import pytest

REQUESTS = "/gmicloud/api/v1/ie/requestqueue/apikey/requests"
T2V, I2V, V3 = "kling-3.0-turbo-t2v", "kling-3.0-turbo-i2v", "kling-v3-image-to-video"
IMAGE = "https://example.com/start_frame.jpg"


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (
            I2V,
            {
                "first_frame": IMAGE,
                "prompt": "A cinematic shot of a dragon taking flight from a cliffside.",
                "resolution": "720p",
                "duration": "5",
            },
        ),
        (T2V, {"prompt": "A dragon.", "resolution": "720p", "aspect_ratio": "16:9", "duration": "5"}),
        (V3, {"image": IMAGE, "image_tail": IMAGE, "prompt": "A dragon.", "duration": "5", "sound": "on"}),
        (V3, {"image": IMAGE, "prompt": "A dragon.", "negative_prompt": "blurry"}),
        (I2V, {"first_frame": IMAGE}),
    ],
)
def test_the_documented_examples_are_taken(caller: Any, model: str, payload: dict[str, str]) -> None:
    reply = caller.post(REQUESTS, {"model": model, "payload": payload})

    answer = reply.json()
    assert reply.status == 200
    assert set(answer) == {"request_id", "model", "status", "created_at", "updated_at", "queued_at"}
    assert (answer["model"], answer["status"]) == (model, "queued")


def test_a_request_goes_from_queued_to_success_and_echoes_its_payload(caller: Any, control: Any) -> None:
    payload = {"prompt": "A dragon.", "duration": "3"}
    request_id = caller.submit_gmi(**payload)
    seen = [caller.gmi(request_id)]

    for _ in range(4):
        control.advance(15.5)
        seen.append(caller.gmi(request_id))

    assert [record["status"] for record in seen] == ["queued", "dispatched", "processing", "processing", "success"]
    assert all(record["payload"] == payload for record in seen)
    assert [record["outcome"] for record in seen[:4]] == [None] * 4
    assert list(seen[4]["outcome"]) == ["media_urls", "thumbnail_image_url"]
    assert [item["id"] for item in seen[4]["outcome"]["media_urls"]] == ["0"]


@pytest.mark.parametrize(
    ("outcome", "status", "has_error"), [("failed", "failed", True), ("cancelled", "cancelled", False)]
)
def test_an_unhappy_end_has_no_outcome(caller: Any, control: Any, outcome: str, status: str, has_error: bool) -> None:
    control.script({"on": "generation", "seconds": 0, "outcome": outcome, "code": "moderation"})

    record = caller.gmi(caller.submit_gmi())

    assert (record["status"], record["outcome"]) == (status, None)
    assert ("error" in record) is has_error
    assert record.get("error", "moderation: ").startswith("moderation: ")


@pytest.mark.parametrize(
    ("model", "payload", "word"),
    [
        (T2V, {"prompt": "x", "duration": 5}, "duration"),
        (T2V, {"prompt": "x", "duration": "2"}, "duration"),
        (T2V, {"prompt": "x", "duration": "16"}, "duration"),
        (T2V, {"prompt": "x", "duration": "05"}, "duration"),
        (T2V, {"prompt": "x" * 2501}, "prompt"),
        (T2V, {"prompt": ""}, "prompt"),
        (T2V, {}, "prompt"),
        (T2V, {"prompt": "x", "resolution": "4k"}, "resolution"),
        (T2V, {"prompt": "x", "resolution": "720P"}, "resolution"),
        (T2V, {"prompt": "x", "aspect_ratio": "4:3"}, "aspect_ratio"),
        (T2V, {"prompt": "x", "sound": "on"}, "sound"),
        (I2V, {"prompt": "x"}, "first_frame"),
        (I2V, {"first_frame": IMAGE, "aspect_ratio": "16:9"}, "aspect_ratio"),
        (I2V, {"image": IMAGE}, "image"),
        (I2V, {"first_frame": "http://example.com/a.png"}, "first_frame"),
        (I2V, {"first_frame": "s3://bucket/a.png"}, "first_frame"),
        (I2V, {"first_frame": "not base64!"}, "first_frame"),
        (V3, {"image": IMAGE}, "prompt"),
        (V3, {"image": IMAGE, "prompt": "x", "resolution": "720p"}, "resolution"),
        (V3, {"image": IMAGE, "prompt": "x", "aspect_ratio": "16:9"}, "aspect_ratio"),
        (V3, {"image": IMAGE, "prompt": "x", "sound": True}, "sound"),
        (V3, {"image": IMAGE, "prompt": "x", "sound": "loud"}, "sound"),
        (V3, {"image": IMAGE, "prompt": "x", "image_tail": "ftp://example.com/a.png"}, "image_tail"),
    ],
)
def test_a_wrong_payload_is_refused(caller: Any, control: Any, model: str, payload: dict[str, Any], word: str) -> None:
    reply = caller.post(REQUESTS, {"model": model, "payload": payload})

    assert reply.status == 400
    assert reply.json()["error"].startswith(word)
    assert control.requests() == []


def test_an_unknown_model_looks_like_one_without_access(caller: Any) -> None:
    reply = caller.post(REQUESTS, {"model": "Kling-3.0-Turbo-T2V", "payload": {"prompt": "x"}})

    assert reply.status == 404
    assert "access" in reply.json()["error"]


def test_the_list_shows_the_newest_first_and_of_one_model_only(caller: Any) -> None:
    first = caller.submit_gmi(prompt="first")
    second = caller.submit_gmi(prompt="second")
    caller.submit_gmi(I2V, first_frame=IMAGE)

    listed = caller.get(f"{REQUESTS}?model_id={T2V}").json()
    everything = caller.get(REQUESTS).json()

    assert [(item["request_id"], item["payload"]["prompt"]) for item in listed["requests"]] == [
        (second, "second"),
        (first, "first"),
    ]
    assert (listed["total"], everything["total"]) == (2, 3)


def test_an_unknown_request_is_404(caller: Any) -> None:
    assert caller.get(f"{REQUESTS}/6fb2b474-0000-4000-8000-000000000000").status == 404


def test_another_providers_request_is_unknown(caller: Any) -> None:
    assert caller.get(f"{REQUESTS}/{caller.submit_apimart()}").status == 404


def test_there_is_nothing_to_delete(caller: Any) -> None:
    assert caller.call("DELETE", f"{REQUESTS}/{caller.submit_gmi()}").status == 404


def test_a_payload_that_is_no_proper_text_is_echoed_all_the_same(caller: Any) -> None:
    reply = caller.post(REQUESTS, b'{"model": "kling-3.0-turbo-t2v", "payload": {"prompt": "\\ud800 caf\\u00e9"}}')

    record = caller.gmi(reply.json()["request_id"])
    assert record["payload"]["prompt"] == "\ud800 caf\u00e9"
