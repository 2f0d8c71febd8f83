"""The times of polls: few GETs, spread, by what is learned, and never sooner than the provider says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.integration.steps.conftest import HOUR, MINUTE, Scene
from worker.jobs.states import JobState
from worker.jobs.timing import LEAST_HISTORY
from worker.steps import Step

S = JobState


@pytest.mark.parametrize("provider", ["gmicloud", "apimart"])
def test_poll_intervals_grow_with_the_wait_so_that_gets_stay_few(scene: Scene, provider: str) -> None:
    scene.services = scene.but(settings=replace(scene.services.settings, public_url=None))
    scene.rule("generation", seconds=HOUR)
    scene.submitted(provider)
    waits = []

    while scene.clock.now < 1_795_000_000 + HOUR - 5 * MINUTE:
        waits.append(scene.due_in())
        scene.look_when_due()

    steady = waits[1:]
    assert steady[0] < 10
    assert max(steady) <= 5 * MINUTE * 1.1
    assert all(later > 0.7 * sooner for sooner, later in pairwise(steady))
    assert len(waits) < 60
    assert scene.gets() == len(waits)


def test_intervals_are_spread_so_that_a_burst_does_not_stay_one(scene: Scene) -> None:
    for number in range(10):
        scene.submitted("gmicloud", f"job-{number}")

    dues = {scene.due_in(f"job-{number}") for number in range(10)}

    assert len(dues) == 10


def test_a_job_whose_callback_is_late_is_polled_too(scene: Scene) -> None:
    scene.submitted("evolink")
    first = scene.due_in()

    scene.look_when_due()

    assert first > 60, "its callback is given time"
    assert scene.job().state is S.GENERATED


def test_an_absurd_estimate_of_the_provider_does_not_put_off_the_first_poll(scene: Scene) -> None:
    scene.rule("generation", seconds=20 * HOUR)

    scene.submitted("evolink")

    assert scene.due_in() < 15 * MINUTE


def test_retry_after_is_kept(scene: Scene) -> None:
    scene.submitted()
    scene.rule("poll", status=429, retry_after=77)

    scene.look_when_due()

    assert scene.due_in() >= 77
    assert scene.job().waiting_for == "gmicloud to answer (rate_limited: answered 429: too many requests)"


def test_a_message_that_overtakes_the_first_poll_waits_for_it(scene: Scene) -> None:
    scene.submitted()

    scene.run(Step.POLL)

    assert scene.gets() == 0


def test_waits_after_failed_gets_grow_and_start_anew_after_a_good_one(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted()
    scene.rule("poll", status=500, times=6)
    waits = []
    for _ in range(6):
        scene.look_when_due()
        waits.append(scene.due_in())

    scene.look_when_due()

    assert all(later > 1.5 * sooner for sooner, later in pairwise(waits))
    assert scene.job().failures == 0


def test_the_first_poll_is_timed_by_what_the_models_last_generations_took(scene: Scene) -> None:
    for n in range(LEAST_HISTORY):
        scene.generated("gmicloud", f"before-{n}")

    scene.submitted("gmicloud", "after")

    took = scene.store.durations.took("gmicloud", scene.job("after").model)
    assert len(took) == LEAST_HISTORY
    assert 0.9 * 1.1 * min(took) <= scene.due_in("after") <= 1.1 * 1.1 * min(took)
