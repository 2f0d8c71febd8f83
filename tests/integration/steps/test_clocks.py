"""The clock of Redis' host is wrong, for a minute or for good: no job stands still, none is refused what is its own."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE, Scene
from tests.integration.steps.limited import tick
from worker.jobs.states import JobState

S = JobState


class Skew:
    """The error of the store's clock, seconds; the providers' and ours are right."""

    def __init__(self, scene: Scene) -> None:
        self.seconds = 0.0
        clock = scene.clock
        store = scene.another_store(clock=lambda: round((clock.now + self.seconds) * 1000))
        scene.services = scene.but(store=store)


def ticks(scene: Scene, count: int, seconds: float = 1.0) -> None:
    for _ in range(count):
        tick(scene, seconds)


def ticks_until_archived(scene: Scene, *job_ids: str, within: float) -> float:
    """The seconds until all are archived."""
    began = scene.clock.now
    while any(scene.job(job_id).state is not S.ARCHIVED for job_id in job_ids):
        assert scene.clock.now - began < within, [scene.job(job_id).held for job_id in job_ids]
        tick(scene, 5)
    return scene.clock.now - began


@pytest.mark.parametrize("jump", [4 * HOUR, 12 * HOUR, 3 * DAY, -2 * MINUTE, -12 * HOUR])
@pytest.mark.parametrize("provider", ["gmicloud", "evolink"])
def test_a_clock_that_was_wrong_for_a_minute_freezes_no_job(scene: Scene, provider: str, jump: float) -> None:
    skew = Skew(scene)
    scene.submitted(provider, "sent")
    scene.accepted(provider, "new")
    ticks(scene, 5)
    skew.seconds = jump
    ticks(scene, 60)
    skew.seconds = 0.0

    ticks_until_archived(scene, "sent", "new", within=30 * MINUTE)

    assert (scene.posts("sent"), scene.posts("new")) == (1, 1)


def test_a_lease_granted_by_a_clock_that_was_ahead_is_void(scene: Scene) -> None:
    skew = Skew(scene)
    scene.submitted("gmicloud")
    skew.seconds = 12 * HOUR
    scene.advance(30)
    assert scene.store.due.claim(JOB, states=(S.SUBMITTED,), lease_ms=45_000), "and its process dies"
    skew.seconds = 0.0

    ticks_until_archived(scene, JOB, within=15 * MINUTE)


@pytest.mark.parametrize("minutes", [0, 9, 11, 13, 90, -9, -11, -13, -90])
@pytest.mark.parametrize("provider", ["gmicloud", "evolink"])
def test_a_clock_that_is_always_wrong_refuses_no_request_of_our_own(scene: Scene, provider: str, minutes: int) -> None:
    skew = Skew(scene)
    skew.seconds = minutes * MINUTE
    scene.unconfirmed(provider, created=True)
    [request_id] = scene.created()
    scene.finish()
    if provider == "evolink":
        scene.deliver(JOB, request_id=request_id)

    ticks_until_archived(scene, JOB, within=HOUR)

    assert scene.job().request_id == request_id
    assert scene.counter("candidates_refused") == 0


@pytest.mark.parametrize("minutes", [0, 13, -13])
def test_a_skewed_clock_does_not_let_a_request_of_another_time_in(scene: Scene, minutes: int) -> None:
    scene.unconfirmed("evolink", "old")
    [foreign] = scene.created("old")
    scene.advance(HOUR)
    skew = Skew(scene)
    skew.seconds = minutes * MINUTE
    scene.unconfirmed("evolink", created=False)

    scene.deliver(JOB, request_id=foreign)
    ticks(scene, 10)

    assert scene.job().request_id is None
    assert scene.counter("candidates_refused") == 1
