"""A callback whose signature held is believed as it is: no GET confirms it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.steps.conftest import JOB, SECRET, Scene
from webhook.callbacks import Address, Receiver
from worker.jobs.states import JobState
from worker.notifications.signature import headers as signed_headers
from worker.providers.base import CallbackTrust
from worker.providers.verify import StandardWebhooks
from worker.steps import Step

S = JobState
KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Signed:
    """EvoLink, as if it signed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._provider = scene.services.providers["evolink"]
        self._provider.verifier = StandardWebhooks((KEY,), now=lambda: scene.clock.now)
        self._provider.trust = CallbackTrust.VERIFIED

    def deliver(self, **fields: Any) -> str:
        content = json.dumps({"model": "kling-v3-turbo-image-to-video", **fields}).encode()
        headers = signed_headers((KEY,), f"evt-{len(content)}", self._scene.clock.now, content.decode())
        receiver = Receiver(self._scene.services.providers, (SECRET,), self._scene.store, nudge=lambda _: None)
        return receiver.take(Address(self._provider, JOB, 1), content, headers=headers)


@pytest.fixture
def signed(scene: Scene) -> Signed:
    return Signed(scene)


def test_a_signed_success_makes_the_video_be_copied_without_a_get(scene: Scene, signed: Signed) -> None:
    job = scene.submitted("evolink")
    scene.finish()
    links = scene.control.requests()[0]["links"]

    assert signed.deliver(id=job.request_id, status="completed", results=links) == "stored"
    scene.follow(step=Step.CONFIRM)

    assert scene.job().state is S.ARCHIVED
    assert (scene.job().generated_by, scene.gets()) == ("callback", 0)
    assert len(scene.videos()) == 1


def test_a_signed_failure_ends_the_job_without_a_get(scene: Scene, signed: Signed) -> None:
    job = scene.submitted("evolink")

    signed.deliver(id=job.request_id, status="failed", error={"code": "content_policy_violation", "message": "no"})
    scene.run(Step.CONFIRM)

    assert scene.job().state is S.FAILED
    error = scene.job().error
    assert error is not None
    assert (error.code, scene.gets()) == ("moderation", 0)


def test_a_signed_callback_of_a_lost_post_binds_the_request_that_our_key_can_read(scene: Scene, signed: Signed) -> None:
    scene.unconfirmed("evolink")
    request_id = scene.created()[0]
    scene.finish()
    links = scene.control.requests()[0]["links"]

    signed.deliver(id=request_id, status="completed", results=links)
    scene.follow(step=Step.CONFIRM)

    assert scene.job().state is S.ARCHIVED
    assert scene.job().request_id == request_id
    assert scene.created() == [request_id]


def test_a_signed_progress_says_when_to_ask_and_ends_nothing(scene: Scene, signed: Signed) -> None:
    job = scene.submitted("evolink")

    assert signed.deliver(id=job.request_id, status="processing") == "noted"
    scene.run(Step.CONFIRM)

    assert scene.job().state is S.SUBMITTED
