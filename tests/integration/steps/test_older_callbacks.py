"""Callbacks of an attempt that is over: nobody who was told its URL keeps its true callback out."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import ServiceUnavailable

from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from tests.integration.steps.limited import tick
from worker.jobs.states import JobState
from worker.operations import retry

S = JobState
REPEATS = (0, 1, 2, 4)
"""Seconds before each delivery of EvoLink's: once, and three times again; then never."""


def delivered(scene: Scene, request_id: str, attempt: int) -> str:
    try:
        return scene.deliver(request_id=request_id, attempt=attempt)
    except ServiceUnavailable:
        return "full"


def second_attempt(scene: Scene) -> str:
    """A first attempt that was taken, which nobody knows of, and an operator's second; the first one's request id."""
    scene.outcome_unknown("evolink")
    [first] = scene.created()
    assert retry.run(JOB, scene.services, pay_again=True).applied
    return first


def flood(scene: Scene) -> None:
    for n in range(8):
        assert delivered(scene, f"task-unified-forged-{n}", 1) == "late"


def true_callback(scene: Scene, request_id: str) -> list[str]:
    """The deliveries of the first attempt's callback, with the workers at work between them."""
    answers = []
    for pause in REPEATS:
        for _ in range(pause):
            tick(scene)
        answers.append(delivered(scene, request_id, 1))
        if answers[-1] != "full":
            break
        tick(scene)
    return answers


def ends_without_a_video(scene: Scene, state: str) -> None:
    """Have the second attempt stand in *state* for now, and end without a video later."""
    if state == "accepted":
        scene.rule("submit", status=400)
        scene.store.pauses.pause("evolink")
    elif state == "submitted":
        scene.rule("generation", outcome="failed", seconds=HOUR)
        scene.look_when_due()
    else:
        scene.rule("submit", cut=True, created=False)
        scene.look_when_due()
    assert scene.job().state == state


@pytest.mark.parametrize("state", ["accepted", "submitted", "unconfirmed"])
def test_forged_callbacks_of_an_attempt_that_is_over_do_not_keep_its_true_one_out(scene: Scene, state: str) -> None:
    first = second_attempt(scene)
    ends_without_a_video(scene, state)
    flood(scene)

    answers = true_callback(scene, first)
    scene.store.pauses.resume("evolink")
    for _ in range(60):
        tick(scene, 10 * MINUTE)
        if scene.job().state is S.ARCHIVED:
            break

    assert answers == ["full", "late"]
    assert (scene.job().state, scene.job().videos_attempt) == (S.ARCHIVED, 1)
    assert scene.job().request_ids[1] == first


def test_the_true_callback_of_an_attempt_that_is_over_is_let_in_after_the_second_has_failed(scene: Scene) -> None:
    first = second_attempt(scene)
    scene.rule("submit", status=400)
    tick(scene)
    tick(scene)
    assert scene.job().held == "failed(submit)"
    flood(scene)

    answers = true_callback(scene, first)
    tick(scene, HOUR)

    assert answers == ["full", "late"]
    assert (scene.job().state, scene.job().videos_attempt) == (S.ARCHIVED, 1)


def test_a_flood_for_an_attempt_that_is_over_costs_nine_gets_a_minute_and_moves_nothing(scene: Scene) -> None:
    second_attempt(scene)
    scene.rule("generation", seconds=5 * HOUR)
    scene.look_when_due()
    before = len(scene.calls("GET"))

    for n in range(300):
        delivered(scene, f"task-unified-flood-{n}", 1)
        tick(scene)

    assert len(scene.calls("GET")) - before <= 5 * 9 + 8
    assert scene.job().state is S.SUBMITTED
    assert scene.job().request_ids.keys() == {2}
    assert len(scene.store.callbacks.events(JOB)) <= 8


def test_a_job_in_line_keeps_its_place_and_its_time_whatever_comes_for_its_first_attempt(scene: Scene) -> None:
    second_attempt(scene)
    scene.store.pauses.pause("evolink")
    scene.look_when_due()
    before = scene.job()
    due_at = scene.store.due.at(JOB)
    flood(scene)

    delivered(scene, "task-unified-forged-8", 1)
    assert scene.is_due()
    tick(scene)

    after = scene.job()
    assert before.place
    assert (after.place, after.waits, after.waiting_for) == (before.place, before.waits, before.waiting_for)
    assert due_at is not None
    assert abs((scene.store.due.at(JOB) or 0) - due_at) < 2000
    assert scene.posts() == 1


def test_a_request_that_cannot_be_read_now_hides_no_other(scene: Scene) -> None:
    first = second_attempt(scene)
    scene.rule("generation", outcome="failed", seconds=HOUR)
    scene.look_when_due()
    delivered(scene, scene.strangers("evolink").request_id, 1)
    for n in range(6):
        scene.advance(1)
        delivered(scene, f"task-unified-forged-{n}", 1)
    delivered(scene, first, 1)
    scene.rule("poll", status=500, times=1)

    delivered(scene, "task-unified-forged-8", 1)
    tick(scene)

    assert scene.job().request_ids[1] == first
