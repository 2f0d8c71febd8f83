"""Sweep: every due job is nudged to the step it needs, however often ticks are doubled, late or missing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from worker.jobs.job import SCHEMA_VERSION
from worker.jobs.states import JobState
from worker.steps import Step, step_for, sweep

S = JobState


@pytest.mark.parametrize(
    ("bring", "step"),
    [
        ("accepted", Step.SUBMIT),
        ("unconfirmed", Step.POLL),
        ("submitted", Step.POLL),
        ("generated", Step.ARCHIVE),
        ("archived", Step.DELIVER),
    ],
)
def test_a_due_job_is_nudged_to_the_step_it_needs(scene: Scene, bring: str, step: Step) -> None:
    getattr(scene, bring)()
    scene.advance(max(0.0, scene.due_in()))

    assert scene.sweep() == [(step, JOB)]


def test_every_state_has_a_step() -> None:
    assert {state: step_for(state) for state in S}.keys() == set(S)


@pytest.mark.parametrize("bring", ["expired", "archive_failed"])
def test_a_job_whose_end_is_delivered_and_whose_video_may_still_come_is_revisited(scene: Scene, bring: str) -> None:
    getattr(scene, bring)()
    scene.advance(scene.due_in())

    assert scene.sweep() == [(Step.REVISIT, JOB)]


def test_a_job_that_is_not_due_is_left_alone(scene: Scene) -> None:
    scene.submitted()

    assert scene.sweep() == []


def test_a_closed_job_is_never_nudged(scene: Scene) -> None:
    scene.archived()
    scene.follow()
    scene.advance(31 * 24 * HOUR)

    assert scene.sweep() == []


def test_a_doubled_tick_nudges_nobody_twice(scene: Scene) -> None:
    scene.accepted()

    assert len(scene.sweep()) == 1
    assert scene.sweep() == []


def test_a_nudge_that_is_lost_is_repeated_at_intervals_that_double_up_to_five_minutes(scene: Scene) -> None:
    scene.accepted()
    waits = []

    for _ in range(8):
        assert scene.sweep() == [(Step.SUBMIT, JOB)]
        waits.append(scene.due_in())
        scene.advance(scene.due_in())

    assert waits == [15, 30, 60, 120, 240, 300, 300, 300]


def test_the_nudge_interval_starts_anew_when_the_job_moves(scene: Scene) -> None:
    scene.accepted()
    for _ in range(5):
        scene.sweep()
        scene.advance(scene.due_in())

    scene.run(Step.SUBMIT)
    scene.advance(scene.due_in())
    scene.sweep()

    assert scene.due_in() == 15


def test_after_an_outage_of_hours_no_job_waits_longer_than_five_minutes(scene: Scene) -> None:
    scene.accepted()
    for _ in range(100):
        scene.sweep()
        scene.advance(scene.due_in())

    assert scene.clock.now > 1_795_000_000 + 7 * HOUR
    scene.sweep()
    assert scene.due_in() <= 5 * MINUTE


def test_a_job_whose_step_crashed_is_nudged_at_the_leases_end(scene: Scene) -> None:
    scene.submitted()
    scene.advance(scene.due_in())
    assert scene.store.due.claim(JOB, states=(S.SUBMITTED,), lease_ms=45_000) is not None

    scene.advance(44.999)
    before = scene.sweep()
    scene.advance(0.001)

    assert before == []
    assert scene.sweep() == [(Step.POLL, JOB)]


def test_jobs_of_one_provider_share_a_message(scene: Scene) -> None:
    for number in range(3):
        scene.accepted("gmicloud", f"new-{number}")
    for number in range(40):
        scene.submitted("apimart" if number % 2 else "gmicloud", f"job-{number}")
    scene.finish()
    messages: list[tuple[Step, list[str]]] = []

    def publish(step: Step, job_ids: Sequence[str]) -> None:
        messages.append((step, list(job_ids)))

    nudged = sweep.run(scene.services, publish, lambda _: False)

    polls = [job_ids for step, job_ids in messages if step is Step.POLL]
    providers = [{scene.job(job_id).provider for job_id in job_ids} for job_ids in polls]
    assert nudged == 43
    assert sorted(len(job_ids) for job_ids in polls) == [20, 20]
    assert all(len(names) == 1 for names in providers)
    assert [len(job_ids) for step, job_ids in messages if step is Step.SUBMIT] == [3]


@pytest.mark.parametrize(("bring", "step"), [("accepted", Step.SUBMIT), ("generated", Step.ARCHIVE)])
def test_a_job_that_was_nudged_when_it_moved_is_not_nudged_again_while_messages_wait(
    scene: Scene, bring: str, step: Step
) -> None:
    getattr(scene, bring)()

    assert scene.sweep(waiting=[step]) == []
    assert scene.due_in() == 15
    scene.advance(15)
    assert scene.sweep(waiting=[step]) == [(step, JOB)]


def test_a_job_whose_callback_has_nudged_it_is_not_nudged_again_while_messages_wait(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    scene.deliver()

    assert scene.sweep(waiting=[Step.CONFIRM]) == []
    scene.advance(15)
    assert scene.sweep(waiting=[Step.CONFIRM]) == [(Step.CONFIRM, JOB)]


def test_a_callback_that_nobody_has_looked_at_is_confirmed_and_one_looked_at_polled(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.deliver()

    first = scene.sweep()
    scene.run(Step.CONFIRM)
    scene.advance(scene.due_in())

    assert first == [(Step.CONFIRM, JOB)]
    assert scene.sweep() == [(Step.POLL, JOB)]


def test_a_job_that_only_the_clock_made_due_is_nudged_whatever_waits(scene: Scene) -> None:
    scene.submitted()
    scene.advance(scene.due_in())

    assert scene.sweep(waiting=list(Step)) == [(Step.POLL, JOB)]


def test_a_job_counted_as_nudged_can_be_claimed(scene: Scene) -> None:
    scene.accepted()
    scene.sweep(waiting=[Step.SUBMIT])

    scene.run(Step.SUBMIT)

    assert scene.job().state is S.SUBMITTED


def test_a_backlog_is_nudged_whole_in_one_tick(scene: Scene) -> None:
    for number in range(1100):
        scene.store.jobs.accept(
            f"job-{number}", spec_json="{}", spec_sha256="0", provider="gmicloud", model="kling-3.0-turbo-t2v"
        )

    assert len(scene.sweep()) == 1100


def test_a_backlog_that_is_not_nudged_again_is_still_gone_through_in_batches(scene: Scene) -> None:
    """Redis refuses a script what would be thousands at once, in its midst."""
    for number in range(2 * sweep.BATCH + 100):
        scene.store.jobs.accept(
            f"job-{number}", spec_json="{}", spec_sha256="0", provider="gmicloud", model="kling-3.0-turbo-t2v"
        )
    asked: list[Step] = []
    scripts = 0

    def count() -> None:
        nonlocal scripts
        scripts += 1

    services = scene.but(store=scene.with_store(before={"due.nudge": count}))
    sweep.run(services, lambda step, _: asked.append(step), lambda _: True)

    assert (scripts, asked) == (3, [])


def test_an_entry_without_a_record_is_removed_and_counted(scene: Scene) -> None:
    scene.store.scripts.client.zadd(scene.store.scripts.keys.due(0), {"ghost": 1})

    assert scene.sweep() == []
    assert scene.store.due.open_count() == 0
    assert scene.counter("due_without_open_job") == 1


def test_jobs_of_a_newer_callsheet_are_left_due_and_hold_up_no_other(scene: Scene) -> None:
    def accept(job_id: str) -> None:
        scene.store.jobs.accept(
            job_id, spec_json="{}", spec_sha256="0", provider="gmicloud", model="kling-3.0-turbo-t2v"
        )

    newer = [f"newer-{number}" for number in range(sweep.BATCH + 100)]
    for job_id in newer:
        accept(job_id)
        scene.store.scripts.client.hset(scene.store.scripts.keys.of(job_id)[0], "v", str(SCHEMA_VERSION + 1))
    scene.advance(1)
    accept(JOB)

    assert scene.sweep() == [(Step.SUBMIT, JOB)]
    assert all(scene.is_due(job_id) for job_id in newer)

    for job_id in newer:  # or the scene's own judge could not read them
        scene.store.scripts.client.hset(scene.store.scripts.keys.of(job_id)[0], "v", str(SCHEMA_VERSION))
