"""Every documented answer, as it stands in `tests/payloads/`, is read as its file says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.providers.wire import Wire
from worker import errors
from worker.jobs.spec import JobSpec
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, ProviderEvent

PAYLOADS = Path(__file__).parents[2] / "payloads"
FILES = sorted(PAYLOADS.glob("*/*.json"))

SPECS = {
    "gmicloud": JobSpec(model="kling-3.0-turbo-t2v", prompt="a dragon takes flight", duration=5),
    "evolink": JobSpec(model="kling-v3-turbo-image-to-video", first_frame="https://example.com/start.png"),
    "apimart": JobSpec(model="kling-3.0-turbo", prompt="a corgi on the beach"),
    "kling": JobSpec(model="kling-3.0-turbo-text-to-video", prompt="a corgi on the beach"),
    "fal": JobSpec(model="kling-v3-pro-text-to-video", prompt="a corgi on the beach"),
    "replicate": JobSpec(model="kling-v2.6", prompt="a corgi on the beach", duration=5),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_documented_answer_means_what_its_file_says(file: Path, wire: Wire, connect: Callable[..., Adapter]) -> None:
    case = json.loads(file.read_text())
    provider = connect(file.parent.name, wire.url)
    body = case["text"].encode() if "text" in case else json.dumps(case["body"], ensure_ascii=False).encode()
    wire.answer(body, case["http_status"], case.get("headers"))
    for more in case.get("then", []):
        wire.answer(more["body"], more["http_status"], more.get("headers"))

    told = _told(provider, case, body)

    assert told == case["means"]


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_status_word_of_a_provider_has_a_payload(name: str) -> None:
    words = {json.loads(file.read_text())["means"].get("status") or "" for file in PAYLOADS.glob(f"{name}/*.json")}

    assert {word.lower() for word in words} >= set(ADAPTERS[name].kinds)


def _told(provider: Adapter, case: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The adapter's reading, in the words and with the fields that the file uses."""
    wanted = case["means"]
    try:
        facts = _ask(provider, case["door"], body)
    except errors.ProviderError as err:
        facts = {
            "raises": type(err).__name__,
            "code": err.code,
            "provider_code": err.provider_code,
            "retry_after": err.retry_after,
        }
    return {name: facts.get(name) for name in wanted}


def _ask(provider: Adapter, door: str, body: bytes) -> dict[str, Any]:
    spec = SPECS[provider.name]
    if door == "submit":
        images = {"first_frame": spec.first_frame} if spec.first_frame else {}
        submission = provider.submit(spec, images=images, callback_url=None)
        return {**_facts(submission.event), "estimated_seconds": submission.estimated_seconds}
    if door == "list":
        return {"request_ids": [event.request_id for event in provider.recent(spec, since=0)]}
    if door == "callback":
        assert provider.trust is not CallbackTrust.NONE
        return _facts(provider.parse_callback(body))
    return _facts(provider.fetch(_id_in(body, provider)))


def _id_in(body: bytes, provider: Adapter) -> str:
    """The id that the documented answer is about; any, where it is about none."""
    told = provider.ids.told(json.loads(body), provider.envelopes) if body.startswith(b"{") else None
    return told or "task-unified-1"


def _facts(event: ProviderEvent) -> dict[str, Any]:
    ends = {link.expires_at for link in event.links}
    return {
        **vars(event),
        "kind": event.kind.value,
        "urls": [link.url for link in event.links],
        "expires_at": ends.pop() if len(ends) == 1 else None,
        "usage": dict(event.usage),
    }
