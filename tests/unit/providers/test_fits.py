"""A request is taken for ours only if model, time and, where it is echoed, payload agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from worker.jobs.spec import JobSpec
from worker.providers.base import EventKind, ProviderEvent
from worker.providers.evolink import EvoLink
from worker.providers.gmicloud import GmiCloud
from worker.providers.http import Api, trust

TLS = trust(None)
GMI = GmiCloud(Api("gmicloud", "https://example.com", "sk-0123456789", TLS))
EVOLINK = EvoLink(Api("evolink", "https://example.com", "sk-0123456789", TLS))

MINUTE = 60_000
BEGUN = 1_790_000_000_000
FRAME = "https://example.com/a.png"
SPEC = JobSpec(model="kling-3.0", prompt="a dragon", first_frame=FRAME, last_frame="s3://bucket/dir/b.png", sound=True)
ECHO = {
    "prompt": "a dragon",
    "image": FRAME,
    "image_tail": "https://bucket.s3.example.com/dir/b.png?X-Amz-Signature=1",
    "sound": "on",
}
OURS = ProviderEvent("r-1", EventKind.PENDING, model="kling-v3-image-to-video", created_at=BEGUN + 2000, payload=ECHO)


def test_our_own_request_fits() -> None:
    assert GMI.fits(SPEC, OURS, begun_at=BEGUN)


@pytest.mark.parametrize(
    "filled_in", [{"duration": "5"}, {"duration": 5}, {"duration": None}, {"duration": ""}, {"new_knob": "1"}]
)
def test_a_default_that_the_provider_filled_in_fits(filled_in: Mapping[str, Any]) -> None:
    assert GMI.fits(SPEC, replace(OURS, payload={**ECHO, **filled_in}), begun_at=BEGUN)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a unicorn"},
        {"prompt": None},
        {"image": "https://example.com/b.png"},
        {"image_tail": None},
        {"image_tail": "https://bucket.s3.example.com/dir/c.png"},
        {"sound": "off"},
        {"sound": None},
        {"duration": "10"},
        {"negative_prompt": "blurry"},
    ],
    ids=str,
)
def test_another_payload_does_not_fit(other: Mapping[str, Any]) -> None:
    assert not GMI.fits(SPEC, replace(OURS, payload={**ECHO, **other}), begun_at=BEGUN)


@pytest.mark.parametrize(("minutes", "fits"), [(-11, False), (-9, True), (0, True), (11, True), (13, False)])
def test_the_time_may_be_off_by_ten_minutes_of_clock_skew(minutes: int, fits: bool) -> None:
    event = replace(OURS, created_at=BEGUN + minutes * MINUTE)

    assert GMI.fits(SPEC, event, begun_at=BEGUN) is fits


def test_a_request_without_a_time_does_not_fit() -> None:
    assert not GMI.fits(SPEC, replace(OURS, created_at=None), begun_at=BEGUN)


def test_another_model_does_not_fit() -> None:
    assert not GMI.fits(SPEC, replace(OURS, model="kling-3.0-turbo-i2v"), begun_at=BEGUN)


def test_without_an_echo_model_and_time_are_all_there_is() -> None:
    spec = JobSpec(model="kling-3.0-turbo", first_frame=FRAME)
    event = ProviderEvent("r-1", EventKind.PENDING, model="kling-v3-turbo-image-to-video", created_at=BEGUN)

    assert EVOLINK.fits(spec, event, begun_at=BEGUN)
    assert EVOLINK.fits(spec, replace(event, model=None), begun_at=BEGUN)
    assert not EVOLINK.fits(spec, replace(event, model="kling-v3"), begun_at=BEGUN)


def test_a_spec_that_the_provider_cannot_make_fits_nothing() -> None:
    assert not EVOLINK.fits(JobSpec(model="sora"), OURS, begun_at=BEGUN)
