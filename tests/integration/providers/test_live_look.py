"""A provider's own description of its models and lists, compared with our facts over real HTTPS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.providers.wire import Wire
from worker.operations import live_look
from worker.operations.doctor.findings import Mark
from worker.providers.adapter import Adapter
from worker.providers.catalogue.files import shipped
from worker.providers.schemas import described, differences

TURBO = shipped()["gmicloud"].models["kling-3.0-turbo-t2v"]
AS_OURS: dict[str, dict[str, Any]] = {
    "prompt": {"type": "string"},
    "duration": {"type": "string", "minimum": 3, "maximum": 15},
    "resolution": {"enum": ["720p", "1080p"]},
    "aspect_ratio": {"enum": ["16:9", "9:16", "1:1"]},
}


@pytest.mark.parametrize(
    "document",
    [
        {"properties": AS_OURS},
        {"data": {"input_schema": {"type": "object", "properties": {"model": {}, **AS_OURS}}, "endpoint": "/v1"}},
        {"id": "m", "parameters": [{"name": name, **entry} for name, entry in AS_OURS.items()]},
        {"model": {"params": [{"key": name, **entry} for name, entry in AS_OURS.items()]}},
        {"properties": {"payload": {"properties": AS_OURS}}},
    ],
    ids=["properties", "input_schema", "parameters", "params", "payload"],
)
def test_a_description_like_ours_differs_in_nothing(document: Any) -> None:
    assert differences(TURBO, described(document)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resolution": {"enum": ["720p"]}}, "resolution: the catalogue takes 1080p, its schema does not"),
        (
            {"resolution": {"options": [{"value": "720p"}, {"value": "1080p"}, {"value": "4k"}]}},
            "its schema takes 4k too",
        ),
        ({"duration": {"minimum": 5, "maximum": 15}}, "duration: the least value is 3 here and 5 in its schema"),
        ({"duration": {"min": 3, "max": 10}}, "duration: the greatest value is 15 here and 10 in its schema"),
        ({"seed": {"type": "integer"}}, "the catalogue lacks seed"),
    ],
)
def test_each_difference_is_told_by_field(change: dict[str, Any], told: str) -> None:
    assert told in "; ".join(differences(TURBO, described({"properties": {**AS_OURS, **change}})))


def test_a_field_that_the_provider_does_not_describe_is_told() -> None:
    without = {name: entry for name, entry in AS_OURS.items() if name != "aspect_ratio"}

    assert differences(TURBO, described({"properties": without})) == ["aspect_ratio: is not in its schema"]


@pytest.mark.parametrize(
    "document", [{}, {"properties": 5}, {"parameters": ["a", None]}, [[[[[[[{"properties": {}}]]]]]]]]
)
def test_an_answer_that_describes_nothing_is_survived(document: Any) -> None:
    assert described(document) == {}


def test_a_live_look_asks_for_account_list_and_every_schema_and_creates_nothing(
    wire: Wire, connect: Callable[..., Adapter]
) -> None:
    provider = connect("gmicloud", wire.url, get_seconds=(5, 5))
    record = {"request_id": "0b1e2f3a-0000-4000-8000-000000000001", "status": "success", "created_at": 1790000000}
    wire.answer({"requests": []})
    wire.answer({"requests": [{**record, "payload": {"prompt": "x"}}], "has_more": False})
    for _ in provider.models:
        wire.answer({"parameters": [{"name": name, **entry} for name, entry in AS_OURS.items()]})

    findings = list(live_look.look(provider))

    assert [(heard.method, heard.body) for heard in wire.heard] == [("GET", b"")] * (2 + len(provider.models))
    assert wire.heard[-1].path.endswith("/apikey/models/veo-3.1-fast-generate-001")
    assert [finding.what for finding in findings[:3]] == ["account", "list", "schema"]
    (same,) = [finding for finding in findings if "kling-3.0-turbo-t2v" in finding.seen]
    assert same.mark is Mark.OK
    assert all(finding.mark is not Mark.FAIL for finding in findings)


def test_a_list_without_an_echo_is_told_for_recovery_hangs_on_it(wire: Wire, connect: Callable[..., Adapter]) -> None:
    provider = connect("gmicloud", wire.url)
    record = {"request_id": "0b1e2f3a-0000-4000-8000-000000000001", "status": "success"}
    wire.answer({"error": "no"}, 403)
    wire.answer({"requests": [record], "has_more": False})
    for _ in provider.models:
        wire.answer({"error": "not found"}, 404)

    findings = list(live_look.look(provider))

    assert findings[0].mark is Mark.FAIL
    assert [finding.seen for finding in findings if finding.what == "list"] == [
        "gmicloud: 1 of 1 records have no creation time",
        "gmicloud: 1 of 1 records have no echo of what was sent",
    ]


def test_a_provider_without_schemas_says_so(wire: Wire, connect: Callable[..., Adapter]) -> None:
    (told,) = live_look.schemas(connect("evolink", wire.url))

    assert (told.mark, wire.heard) == (Mark.OK, [])
