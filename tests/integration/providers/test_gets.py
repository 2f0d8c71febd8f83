"""GETs of a provider: about one request, and of its list, page by page."""

from __future__ import annotations

import pytest

from tests.integration.providers.asking import SPEC, Connect
from tests.integration.providers.conftest import KEY
from tests.integration.providers.wire import Wire
from worker.errors import NoSuchRequestError, ProviderError
from worker.jobs.spec import JobSpec
from worker.providers import build
from worker.settings.settings import Settings


def test_a_key_that_is_not_taken_is_told_when_checked(wire: Wire, connect: Connect) -> None:
    wire.answer({"error": {"code": "unauthorized", "message": f"{KEY} is not a key"}}, 401)

    with pytest.raises(ProviderError, match="unauthorized") as caught:
        connect("evolink", wire.url).check_key()
    assert KEY not in str(caught.value)


def test_a_get_that_is_not_answered_in_time_is_given_up_at_once(wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: line.pause(10))

    with pytest.raises(ProviderError, match="unreachable"):
        connect("gmicloud", wire.url).fetch("r-1")
    assert len(wire.heard) == 1


def test_a_get_is_not_redirected(wire: Wire, connect: Connect) -> None:
    wire.answer(b"{}", 302, {"Location": wire.url + "/elsewhere"})

    with pytest.raises(ProviderError, match="http_302"):
        connect("gmicloud", wire.url).fetch("r-1")
    assert len(wire.heard) == 1


def test_an_answer_about_another_request_teaches_nothing(wire: Wire, connect: Connect) -> None:
    wire.answer({"request_id": "r-2", "status": "success", "outcome": {"video_url": "https://example.com/v.mp4"}})

    with pytest.raises(ProviderError, match="wrong_id"):
        connect("gmicloud", wire.url).fetch("r-1")


def test_an_answer_that_leaves_the_id_out_is_about_the_one_asked_for(wire: Wire, connect: Connect) -> None:
    wire.answer({"status": "processing"})

    assert connect("gmicloud", wire.url).fetch("r-1").request_id == "r-1"


@pytest.mark.parametrize("stranger", ["..", "a/b", "a b", "", "x" * 129])
def test_what_can_be_no_id_is_not_asked_about(stranger: str, wire: Wire, connect: Connect) -> None:
    with pytest.raises(NoSuchRequestError):
        connect("gmicloud", wire.url).fetch(stranger)
    assert wire.connections == 0


def test_an_id_keeps_to_its_place_in_the_path(wire: Wire, connect: Connect) -> None:
    wire.answer({"status": "processing"})

    connect("evolink", wire.url).fetch("a?b#c%2e&d")

    assert wire.heard[0].path == "/v1/tasks/a%3Fb%23c%252e%26d"


def test_a_wire_name_can_be_corrected_by_configuration(wire: Wire) -> None:
    settings = Settings.from_env(
        {
            "CALLSHEET_REDIS_URL": "redis://127.0.0.1:6379/0",
            "CALLSHEET_BUCKET": "videos",
            "CALLSHEET_CA_FILE": wire.ca_file,
            "EVOLINK_API_KEY": KEY,
            "EVOLINK_BASE_URL": wire.url,
            "EVOLINK_FIELD_NAMES": "first_frame=image_url,resolution=resolution",
        }
    )
    url = "https://example.com/a.png"
    spec = JobSpec(model="kling-3.0-turbo", first_frame=url, resolution="1080p")
    wire.answer({"id": "task-unified-1", "status": "pending"})

    build(settings)["evolink"].submit(spec, images={"first_frame": url}, callback_url=None)

    assert wire.heard[0].json() == {
        "model": "kling-v3-turbo-image-to-video",
        "image_url": url,
        "resolution": "1080p",
    }


def record(n: int, **fields: object) -> dict[str, object]:
    created = 1_753_427_199 - n
    return {"request_id": f"r-{n}", "status": "queued", "model": SPEC.model, "created_at": created, **fields}


def test_the_list_is_read_page_by_page_back_to_the_post(wire: Wire, connect: Connect) -> None:
    wire.answer({"requests": [record(n) for n in range(50)], "has_more": True})
    wire.answer({"requests": [record(n) for n in range(50, 100)], "has_more": True})

    found = list(connect("gmicloud", wire.url).recent(SPEC, since=(1_753_427_199 - 80) * 1000))

    assert [event.request_id for event in found] == [f"r-{n}" for n in range(100)]
    assert [heard.path.partition("?")[2] for heard in wire.heard] == [
        f"model_id={SPEC.model}&limit=50&offset=0",
        f"model_id={SPEC.model}&limit=50&offset=50",
    ]


def test_a_page_that_is_too_long_is_read_in_smaller_ones(wire: Wire, connect: Connect) -> None:
    long = record(0, payload={"first_frame": "x" * 7_000_000})
    for _ in range(3):  # of 50, 12 and 3 records
        wire.answer({"requests": [long], "total": 2})
    wire.answer({"requests": [long], "total": 2})  # of one
    wire.answer({"requests": [record(1)], "total": 2})

    seen: list[str] = []
    with pytest.raises(ProviderError, match="1 records of its list are too long") as caught:
        seen += (event.request_id for event in connect("gmicloud", wire.url, get_seconds=(5, 10)).recent(SPEC))

    assert caught.value.code == "answer_too_long"
    assert [heard.path.rpartition("limit=")[2] for heard in wire.heard] == [
        "50&offset=0",
        "12&offset=0",
        "3&offset=0",
        "1&offset=0",
        "1&offset=1",
    ]


def test_a_list_that_ignores_offset_ends(wire: Wire, connect: Connect) -> None:
    for _ in range(2):
        wire.answer({"requests": [record(n) for n in range(3)]})

    assert len(list(connect("gmicloud", wire.url).recent(SPEC))) == 3
