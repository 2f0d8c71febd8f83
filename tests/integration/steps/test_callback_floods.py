"""Callbacks in a flood: whoever knows a job's URL may send as many as he likes, and costs one GET a minute."""

from __future__ import annotations

from tests.integration.steps.conftest import Scene
from tests.integration.steps.limited import tick
from worker.jobs.states import JobState
from worker.providers.base import EventKind, ProviderEvent

S = JobState


def test_while_the_provider_says_an_unknown_word_a_flood_costs_one_get_a_minute(scene: Scene) -> None:
    scene.submitted("evolink")
    request_id = scene.job().request_id or ""
    scene.services = scene.answering("evolink", ProviderEvent(request_id, EventKind.UNKNOWN, status="reviewing"))

    for n in range(300):
        scene.deliver(links=[f"https://cdn.example.com/x-{n}.mp4"])
        tick(scene)

    assert 6 <= scene.job().polls <= 6 + 14, (
        "one a minute for callbacks, and at most one in 20 s by the polls' own pace"
    )


def test_a_flood_of_forged_callbacks_hides_no_true_one(scene: Scene) -> None:
    scene.submitted("evolink")
    for n in range(100):
        scene.deliver(links=[f"https://cdn.example.com/forged-{n}.mp4"])
        tick(scene)
    scene.finish()

    scene.deliver()
    for _ in range(90):
        tick(scene)

    assert scene.job().state is S.ARCHIVED
