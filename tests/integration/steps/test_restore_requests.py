"""Restore: requests that a provider took and Redis has forgotten, bound by the answers that the bucket has kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.steps.conftest import JOB, Scene
from tests.integration.steps.rollbacks import followed_to_its_end, snapshot
from worker.jobs.states import JobState
from worker.operations import restore, retry
from worker.operations.restore import Outcome
from worker.steps import Step, submit

S = JobState


def restored(scene: Scene, *, apply: bool = True) -> list[Outcome]:
    return list(restore.run(scene.services, apply=apply))


def forgotten(scene: Scene, provider: str = "apimart") -> str:
    """A job that Redis has as accepted, and that a provider took; the request's id."""
    scene.accepted(provider)
    roll_back = snapshot(scene)
    submit.run(JOB, scene.services)
    roll_back()
    return scene.created()[-1]


def refused(scene: Scene, provider: str = "apimart") -> None:
    """A closed job whose provider refused it."""
    scene.rule("submit", status=400, times=1)
    scene.accepted(provider)
    scene.follow()
    assert not scene.job().is_open


def lost_retry(scene: Scene, provider: str = "apimart") -> str:
    """A closed job that was retried and taken before Redis was set back to its end; the request's id."""
    refused(scene, provider)
    roll_back = snapshot(scene)
    assert retry.run(JOB, scene.services).applied
    submit.run(JOB, scene.services)
    roll_back()
    return scene.created()[-1]


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_job_that_redis_has_as_accepted_is_bound_to_the_request_that_the_bucket_names(
    scene: Scene, provider: str
) -> None:
    request_id = forgotten(scene, provider)

    outcomes = restored(scene)

    assert outcomes == [Outcome(JOB, "bound")]
    assert (scene.job().state, scene.job().request_id) == (S.SUBMITTED, request_id)
    scene.finish()
    assert followed_to_its_end(scene).state is S.ARCHIVED
    assert scene.posts() == 1


def kept_late(scene: Scene, request_id: str = "") -> str:
    """Write the answer beside the try of the job's lost POST, as a process that came late did; returns its id."""
    begun = scene.services.bucket.intents.begun(JOB, 1, 1)
    assert begun is not None
    request_id = request_id or scene.created()[-1]
    scene.services.bucket.intents.keep(JOB, 1, 1, replace(begun, request_id=request_id, provider=scene.job().provider))
    return request_id


@pytest.mark.parametrize("hours", [0, 3])
def test_an_unconfirmed_job_is_bound_also_when_it_was_given_up(scene: Scene, hours: int) -> None:
    (scene.outcome_unknown if hours else scene.unconfirmed)("apimart")
    request_id = kept_late(scene)

    outcomes = restored(scene)

    assert outcomes == [Outcome(JOB, "bound")]
    assert (scene.job().state, scene.job().request_id) == (S.SUBMITTED, request_id)


def test_without_leave_nothing_is_bound(scene: Scene) -> None:
    forgotten(scene)

    outcomes = restored(scene, apply=False)

    assert outcomes == [Outcome(JOB, "bound")]
    assert (scene.job().state, scene.job().request_id) == (S.ACCEPTED, None)


def test_a_job_without_a_record_is_named_with_its_request_and_bound_when_it_is_sent_again(scene: Scene) -> None:
    request_id = scene.submitted("apimart").request_id
    scene.store.scripts.client.flushall()

    [outcome] = restored(scene)

    assert outcome.word == "lost"
    assert outcome.reason == (
        f"apimart took it as {request_id}: send the job again, and it is bound to that instead of being paid again"
    )
    scene.accepted("apimart")
    assert restored(scene) == [Outcome(JOB, "bound")]
    assert (scene.job().request_id, scene.posts()) == (request_id, 1)


def test_a_second_attempt_without_a_record_comes_back_by_a_retry(scene: Scene) -> None:
    scene.outcome_unknown("apimart")
    assert retry.run(JOB, scene.services, pay_again=True).applied
    submit.run(JOB, scene.services)
    second = scene.job().request_id or ""
    scene.store.scripts.client.flushall()

    [outcome] = restored(scene)

    assert (outcome.word, second in outcome.reason) == ("lost", True)
    assert "callsheet retry then binds attempt 2" in outcome.reason


@pytest.mark.parametrize("provider", ["evolink", "apimart"])
def test_a_retry_that_a_closed_job_has_lost_is_bound_and_told_to_its_end(scene: Scene, provider: str) -> None:
    """A result backend of its own keeps STARTED, of the second attempt: the first one's failure is older than that."""
    second = lost_retry(scene, provider)

    outcomes = restored(scene)

    assert outcomes == [Outcome(JOB, "bound")]
    assert (scene.job().attempt, scene.job().state, scene.job().request_id) == (2, S.SUBMITTED, second)
    scene.finish()
    assert followed_to_its_end(scene).state is S.ARCHIVED
    assert scene.posts() == 2


def test_a_lost_retry_is_only_counted_without_leave(scene: Scene) -> None:
    lost_retry(scene)
    before = scene.job()

    assert restored(scene, apply=False) == [Outcome(JOB, "bound")]
    assert scene.job() == before


def test_a_lost_retry_that_no_provider_took_is_left_to_who_gave_it(scene: Scene) -> None:
    refused(scene)
    roll_back = snapshot(scene)
    assert retry.run(JOB, scene.services).applied
    scene.rule("submit", status=429)
    submit.run(JOB, scene.services)
    roll_back()

    assert restored(scene) == []
    assert (scene.job().attempt, scene.job().held) == (1, "failed(submit)")


def test_a_job_whose_retention_is_over_is_not_named(scene: Scene) -> None:
    scene.submitted("apimart")
    scene.store.scripts.client.flushall()
    scene.advance(scene.services.retention_ms() / 1000 + 1)

    assert restored(scene) == []


def test_a_job_that_goes_on_is_left_alone(scene: Scene) -> None:
    before = scene.submitted("apimart")

    assert restored(scene) == []
    assert scene.job() == before


def test_a_try_that_no_provider_took_binds_nothing(scene: Scene) -> None:
    scene.rule("submit", status=429)
    scene.accepted("apimart")
    scene.run(Step.SUBMIT)

    assert restored(scene) == []
    assert scene.job().state is S.ACCEPTED


def test_a_job_that_was_sent_again_for_another_provider_is_named_and_not_bound(scene: Scene) -> None:
    request_id = scene.submitted("apimart").request_id
    scene.store.scripts.client.flushall()
    scene.accepted("evolink")

    outcomes = restored(scene)

    reason = f"apimart took it as {request_id}, and Redis has it for evolink: look there"
    assert outcomes == [Outcome(JOB, "conflict", reason)]
    assert (scene.job().state, scene.job().request_id) == (S.ACCEPTED, None)


def test_the_request_of_another_provider_is_neither_bound_nor_paid_again_by_a_submit(scene: Scene) -> None:
    scene.submitted("apimart")
    scene.store.scripts.client.flushall()
    scene.accepted("evolink")

    submit.run(JOB, scene.services)

    assert (scene.job().state, scene.job().request_id) == (S.UNCONFIRMED, None)
    assert scene.posts() == 1


def test_the_request_of_another_job_is_named_and_not_bound(scene: Scene) -> None:
    other = scene.submitted("apimart", "job-2").request_id or ""
    scene.unconfirmed("apimart")
    kept_late(scene, other)

    outcomes = restored(scene)

    assert outcomes == [Outcome(JOB, "conflict", "another job has its request id")]
    assert scene.job().state is S.UNCONFIRMED
