"""Ids, records and links are found where vendors' own clients and relays have them, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from worker.guard.bounded_json import read_tolerantly
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.http import Api, trust

KEY = "sk-live-0123456789abcdefghij"
TLS = trust(None)
PROVIDERS: dict[str, Adapter] = {
    name: adapter(Api(name, "https://example.com", KEY, TLS)) for name, adapter in ADAPTERS.items()
}
OURS = {
    "gmicloud": "5a7a5466-7948-47d8-8578-cff4b9581feb",
    "evolink": "task-unified-1757169743-7cvnl5zw",
    "apimart": "task_01KA040M0HP1GJWBJYZMKX1XS1",
}
OTHERS = {
    "gmicloud": "6fb2b474-7948-47d8-8578-cff4b9581feb",
    "evolink": "task-unified-1757169743-00000000",
    "apimart": "task_01KA040M0HP1GJWBJYZMKX1XS2",
}
DONE = {"gmicloud": "success", "evolink": "completed", "apimart": "completed"}
L = "https://cdn.example.com/film.mp4"
JPEG = "https://cdn.example.com/cover.jpg"

by_provider = pytest.mark.parametrize("name", ["gmicloud", "evolink", "apimart"])  # the relays


def told(name: str, **fields: Any) -> ProviderEvent:
    """The event of a finished record of ours that holds *fields*."""
    provider = PROVIDERS[name]
    record = {provider.ids.documented[0]: OURS[name], "status": DONE[name], **fields}
    document = {"code": 200, "data": record} if name == "apimart" else record
    found = provider._record(document, OURS[name])
    assert found is not None
    return provider.event(OURS[name], found)


def urls(event: ProviderEvent) -> list[str]:
    return [link.url for link in event.links]


@by_provider
@pytest.mark.parametrize(
    "fields",
    [
        {"result_data": [{"video_url": L}]},
        {"output": {"video_url": L}},
        {"output": [L]},
        {"output": L},
        {"result": {"url": L}},
        {"result": {"video_url": L}},
        {"result": {"videos": [L]}},
        {"result": {"videos": [{"url": [L, L]}]}},
        {"result": {"videos": {"url": L}}},
        {"results": [{"url": L}]},
        {"outcome": {"videos": [{"url": L}]}},
        {"outcome": {"media_urls": {"0": L}}},
        {"outcome": {"media_urls": {"url": L, "thumbnail": JPEG}}},
        {"video": {"url": L}},
        {"videos": [L]},
        {"video_url": f" {L}\n"},
        {"resultJson": f'{{"resultUrls":["{L}"]}}'},
        {"task_result": {"videos": [{"id": "0", "url": L}]}},
        {"content": {"video_url": L}},
        {"data": {"works": [{"resource": {"link": L}}]}},
        {"results": [JPEG], "generations": [{"film": L}]},
    ],
    ids=str,
)
def test_a_link_is_found_wherever_a_relay_puts_it(name: str, fields: dict[str, Any]) -> None:
    event = told(name, **fields)

    assert event.kind is EventKind.GENERATED
    assert urls(event) == [L]


@by_provider
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"payload": {"first_frame": L}},
        {"input": {"video_url": L}},
        {"outcome": {"thumbnail_image_url": L}},
        {"message": L},
        {"results": [], "reference_videos": [L]},
    ],
    ids=str,
)
def test_a_link_that_is_no_result_is_none(name: str, fields: dict[str, Any]) -> None:
    event = told(name, **fields)

    assert (event.kind, event.error_code, event.is_unusable) == (EventKind.UNKNOWN, "no_video", True)


@by_provider
@pytest.mark.parametrize("link", ["http://cdn.example.com/film.mp4", "ftp://x/film.mp4", "https://" + "x" * 9000])
def test_a_success_whose_links_cannot_be_used_is_a_fault_of_its_own(name: str, link: str) -> None:
    event = told(name, video_url=link)

    assert (event.kind, event.error_code, event.is_unusable) == (EventKind.UNKNOWN, "bad_link", True)


@by_provider
def test_no_link_is_taken_from_another_requests_record(name: str) -> None:
    other = {"task_id": OTHERS[name], "video_url": L}

    assert urls(told(name, results=[other])) == []
    assert urls(told(name, data={"id": OTHERS[name], "output": {"url": L}})) == []
    assert urls(told(name, results=[other, {"task_id": OURS[name], "video_url": f"{L}?own"}])) == [f"{L}?own"]


@by_provider
def test_a_list_of_records_is_searched_for_ours(name: str) -> None:
    provider = PROVIDERS[name]
    rows = [{"task_id": row, "status": DONE[name], "video_url": f"{L}?{row}"} for row in (OTHERS[name], OURS[name])]

    found = provider._record({"data": rows}, OURS[name])

    assert found is not None
    assert urls(provider.event(OURS[name], found)) == [f"{L}?{OURS[name]}"]


@by_provider
def test_any_id_field_that_is_ours_counts_and_none_means_another_request(name: str) -> None:
    provider = PROVIDERS[name]
    both = {"id": OTHERS[name], "task_id": OURS[name], "status": DONE[name]}

    assert provider._record(both, OURS[name]) == both
    assert provider._record({provider.ids.documented[0]: OTHERS[name], "status": DONE[name]}, OURS[name]) is None


@by_provider
@pytest.mark.parametrize(
    "answer",
    [
        '{{"task_id":"{0}"}}',
        '{{"id":"{0}"}}',
        '{{"taskId":" {0} "}}',
        '{{"request_id":"{0}"}}',
        '{{"data":"{0}"}}',
        '{{"data":{{"task_id":"{0}"}}}}',
        '{{"data":[{{"id":"{0}"}}]}}',
        '{{"data":"{{\\"task_id\\":\\"{0}\\"}}"}}',
        '{{"result":{{"taskId":"{0}"}}}}',
        '{{"note":1,"note":2,"task_id":"{0}"}}',
    ],
)
def test_an_id_in_plain_view_is_taken(name: str, answer: str) -> None:
    provider = PROVIDERS[name]
    body = answer.format(OURS[name])

    assert provider.ids.told(read_tolerantly(body.encode()), provider.envelopes) == OURS[name]


@by_provider
@pytest.mark.parametrize("field", ["id", "task_id"])
def test_a_number_is_an_id_where_an_id_may_stand(name: str, field: str) -> None:
    provider = PROVIDERS[name]

    assert provider.ids.told({field: 1757169743}, provider.envelopes) == "1757169743"


def test_the_trace_of_an_answer_is_no_id() -> None:
    assert PROVIDERS["evolink"].ids.told({"request_id": "req-0a1b"}, ("",)) is None
    assert PROVIDERS["apimart"].ids.told({"request_id": "req-0a1b"}, ("data", "")) is None


@by_provider
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *((word, EventKind.GENERATED) for word in ("succeeded", "SUCCESS", "finished", "done", "TASK_STATUS_SUCCEED")),
        *((word, EventKind.FAILED) for word in ("timeout", "rejected", "canceled", "cancelled", "error", "expired")),
        *((word, EventKind.PENDING) for word in ("queued", "In Progress", "IN_QUEUE", "running", "submitted")),
        ("reticulating", EventKind.UNKNOWN),
    ],
)
def test_the_trades_status_words_mean_the_same_at_every_provider(name: str, word: str, kind: EventKind) -> None:
    event = told(name, status=word, video_url=L)

    assert (event.kind, event.is_unusable) == (kind, False)


def test_a_record_of_any_size_is_searched_in_bounds() -> None:
    wide = {"results": [{"x": [{"y": n}] * 50} for n in range(200)], "generations": [{"film": L}]}

    assert told("evolink", **wide).error_code in ("", "no_video")
