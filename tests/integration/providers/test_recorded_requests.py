"""The five models of the source documents stay on the wire what they were before models became data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.providers.wire import Wire
from worker.errors import ProviderError, RefusedError
from worker.jobs.spec import parse_spec
from worker.providers.adapter import Adapter
from worker.providers.model import IMAGE_FIELDS

RECORDED = Path(__file__).parents[2] / "payloads" / "requests_of_the_source_models.json"

SHARED_SINCE = {"kling-3.0"}
"""Neutral names that other models answer to as well by now."""


def recorded(provider: str) -> list[dict[str, Any]]:
    """The requests by the names that only the source models bore then and bear now."""
    text = re.sub(r"<x\*(\d+)>", lambda run: "x" * int(run[1]), RECORDED.read_text())
    requests = [request for request in json.loads(text)["requests"] if request["provider"] == provider]
    return [request for request in requests if request["spec"]["model"] not in SHARED_SINCE]


@pytest.mark.parametrize("name", ["gmicloud", "evolink", "apimart"])
def test_a_source_models_request_is_byte_for_byte_as_it_was(
    name: str, wire: Wire, connect: Callable[..., Adapter]
) -> None:
    provider = connect(name, wire.url, post_seconds=(5, 10))
    sent = [request for request in recorded(name) if "body" in request]

    for request in sent:
        wire.answer({"error": "not today"}, 400)
        with pytest.raises(ProviderError):
            _submit(provider, request)

    assert [heard.body.decode() for heard in wire.heard] == [request["body"] for request in sent]


@pytest.mark.parametrize("name", ["gmicloud", "evolink", "apimart"])
def test_a_source_model_refuses_what_it_refused(name: str, wire: Wire, connect: Callable[..., Adapter]) -> None:
    provider = connect(name, wire.url)

    for request in recorded(name):
        assert sorted(provider.problems(parse_spec(request["spec"]))) == sorted(request.get("problems", [])), request[
            "spec"
        ]
        if "refused" in request:
            with pytest.raises(RefusedError) as caught:
                _submit(provider, request)
            assert caught.value.detail == request["refused"]

    assert wire.heard == []


@pytest.mark.parametrize("name", ["gmicloud", "evolink", "apimart"])
def test_a_source_models_price_is_what_it_was(name: str, wire: Wire, connect: Callable[..., Adapter]) -> None:
    provider = connect(name, wire.url)

    for request in recorded(name):
        spec = parse_spec(request["spec"])
        rules = provider.rules_for(spec)
        assert rules is not None
        assert (rules.kind(spec), rules.cost(spec)) == (request["made"], request["cost"]), request["spec"]


def _submit(provider: Adapter, request: dict[str, Any]) -> None:
    spec = request["spec"]
    images = {name: spec[name] for name in IMAGE_FIELDS if name in spec}
    # APIMart was polled then; where it is told to call back stands in the contract's suite
    url = None if provider.name == "apimart" else request["callback_url"]
    provider.submit(parse_spec(spec), images=images, callback_url=url)
