"""After Redis was set back: what callers were told of moves that it has lost is looked at once."""

from __future__ import annotations

import pytest

from tests.integration.steps.conftest import DAY, HOUR, JOB, Scene
from tests.integration.steps.meddling import once
from tests.integration.steps.rollbacks import Rollback, followed_to_its_end, snapshot, with_bucket, without_s3
from worker.jobs.states import JobState
from worker.operations import retry
from worker.services import Services
from worker.steps import Step, retell, submit, sweep

S = JobState


def failover(scene: Scene, roll_back: Rollback) -> None:
    """Another server answers, with what the last one had some time ago."""
    roll_back()
    scene.store.scripts.client.hset(scene.store.scripts.keys.rollback(), "servers", "the master before")


def looked_through(scene: Scene, services: Services | None = None, *, most: int = 20) -> int:
    """Tick, and take the step that the sweep asks for; how many pages were looked at."""
    assert scene.store.rollbacks.watch()
    pages, following = 0, Step.RETELL
    while following is Step.RETELL and pages < most:
        following = retell.run(services or scene.services)  # type: ignore[assignment]
        pages += 1
    return pages


def closed(scene: Scene, provider: str = "evolink") -> Rollback:
    """A job whose generation has failed, told and closed; Redis as it is then."""
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    scene.submitted(provider)
    scene.finish()
    scene.look_when_due()
    scene.follow()
    scene.advance(DAY + HOUR)
    scene.look_when_due()
    scene.follow()
    assert not scene.job().is_open
    scene.sweep()
    return snapshot(scene)


def retried(scene: Scene) -> None:
    """An operator's retry, of which the caller is told."""
    assert retry.run(JOB, scene.services, pay_again=True).applied
    scene.services.results.started(scene.job())


def test_a_retry_that_was_lost_unpaid_leaves_no_caller_waiting(scene: Scene) -> None:
    roll_back = closed(scene)
    scene.advance(60)
    retried(scene)
    failover(scene, roll_back)
    was_final = scene.told.held[JOB].is_final

    looked_through(scene)
    job = scene.follow()

    assert not was_final
    assert scene.told.held[JOB].is_final
    assert (job.held, job.attempt, job.is_open) == ("failed(generate)", 1, False)
    assert scene.told.states == ["failed", "failed"]
    assert scene.counter("results_retold") == 1
    assert scene.posts() == 1


def test_a_retry_that_was_lost_unpaid_can_be_asked_for_again_and_is_paid_once(scene: Scene) -> None:
    roll_back = closed(scene)
    retried(scene)
    failover(scene, roll_back)
    looked_through(scene)
    scene.follow()

    retried(scene)
    for _ in range(3):
        scene.look_when_due()
    scene.finish()
    job = followed_to_its_end(scene)

    assert (job.state, job.attempt) == (S.ARCHIVED, 2)
    assert len(scene.created()) == 2


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_retry_that_was_lost_and_paid_goes_on_and_is_not_paid_again(scene: Scene, provider: str) -> None:
    roll_back = closed(scene, provider)
    retried(scene)
    scene.follow()
    assert scene.job().state is S.SUBMITTED
    failover(scene, roll_back)

    looked_through(scene)
    scene.finish()
    job = followed_to_its_end(scene)

    assert (job.state, job.attempt) == (S.ARCHIVED, 2)
    assert list(job.request_ids.values()) == scene.created()
    assert len(scene.created()) == 2
    assert scene.told.held[JOB].is_final


def test_a_retry_that_was_lost_and_perhaps_paid_is_looked_for_and_not_sent_again(scene: Scene) -> None:
    roll_back = closed(scene, "apimart")
    retried(scene)
    scene.rule("submit", cut=True, created=True)
    scene.look_when_due()
    failover(scene, roll_back)

    looked_through(scene)

    assert (scene.job().state, scene.job().attempt) == (S.UNCONFIRMED, 2)
    assert len(scene.created()) == 2


def test_a_worker_that_still_holds_the_lost_retry_sends_nothing_once_its_end_was_told(scene: Scene) -> None:
    roll_back = closed(scene)
    retried(scene)

    def lost() -> None:
        failover(scene, roll_back)
        looked_through(scene)

    submit.run(JOB, with_bucket(scene, before={"begin": once(lost)}))
    job = scene.follow()

    assert (job.held, job.attempt) == ("failed(generate)", 1)
    assert scene.told.held[JOB].is_final
    assert scene.posts() == 1


def test_a_job_that_was_asked_about_again_is_told_as_expired_when_redis_has_lost_that(scene: Scene) -> None:
    scene.expired(seconds=DAY)
    scene.sweep()
    roll_back = snapshot(scene)
    assert retry.run(JOB, scene.services).applied
    scene.services.results.started(scene.job())
    failover(scene, roll_back)

    looked_through(scene)
    scene.follow()

    assert scene.job().state is S.EXPIRED
    assert scene.told.held[JOB].is_final
    assert scene.job().is_open, "it is still asked, slowly"


def test_a_video_of_moves_that_were_lost_is_taken_from_the_bucket(scene: Scene) -> None:
    scene.rule("poll", status_word="failed")
    scene.submitted("gmicloud")
    scene.finish()
    scene.look_when_due()
    scene.follow()
    scene.sweep()
    roll_back = snapshot(scene)
    scene.look_when_due()
    assert scene.follow().state is S.ARCHIVED
    gets = scene.gets()
    failover(scene, roll_back)

    looked_through(scene)
    job = scene.follow()

    assert job.state is S.ARCHIVED
    assert scene.gets() == gets
    assert scene.told.states == ["failed", "archived", "archived"]


def test_while_s3_does_not_answer_nobody_is_told_and_the_look_goes_on_later(scene: Scene) -> None:
    roll_back = closed(scene)
    retried(scene)
    failover(scene, roll_back)

    looked_through(scene, without_s3(scene))
    told = list(scene.told.states)
    asked_at_once = scene.store.rollbacks.watch()
    scene.advance(16)
    looked_through(scene)
    scene.follow()

    assert told == ["failed"]
    assert not asked_at_once
    assert scene.told.states == ["failed", "failed"]


def test_results_that_cannot_be_read_now_are_read_later(scene: Scene) -> None:
    roll_back = closed(scene)
    retried(scene)
    failover(scene, roll_back)
    scene.told.is_down = True
    looked_through(scene)
    scene.told.is_down = False
    scene.advance(16)

    looked_through(scene)

    assert scene.counter("results_retold") == 1


def test_many_jobs_are_looked_through_page_by_page_and_once(scene: Scene) -> None:
    closed(scene)
    for n in range(230):
        job_id = f"old-{n:03}"
        scene.accepted("apimart", job_id)
        scene.store.jobs.move(job_id, S.CANCELLED, attempt=1, path="operator")
        scene.services.results.tell(scene.job(job_id))
    roll_back = snapshot(scene)
    retried(scene)
    failover(scene, roll_back)

    assert looked_through(scene) == 3

    assert scene.counter("results_retold") == 1
    assert retell.run(scene.services) is None
    assert not scene.store.rollbacks.watch()


def test_a_message_that_comes_twice_turns_no_page_twice(scene: Scene) -> None:
    roll_back = closed(scene)
    failover(scene, roll_back)
    scene.store.rollbacks.watch()
    page = scene.store.rollbacks.page()
    assert page is not None

    assert [scene.store.rollbacks.turn(page), scene.store.rollbacks.turn(page)] == [True, False]


def test_a_retry_made_while_its_job_is_looked_at_is_left_alone(scene: Scene) -> None:
    roll_back = closed(scene)
    retried(scene)
    failover(scene, roll_back)
    store = scene.with_store(before={"rollbacks.retell": lambda: retried(scene)})

    looked_through(scene, scene.but(store=store))

    assert (scene.job().state, scene.job().attempt) == (S.ACCEPTED, 2)
    assert scene.counter("results_retold") == 0


def test_the_same_server_is_no_reason_to_look(scene: Scene) -> None:
    closed(scene)
    scene.advance(HOUR)

    assert not scene.store.rollbacks.watch()
    assert retell.run(scene.services) is None


def test_a_job_that_is_met_set_back_has_the_others_looked_at_where_servers_tell_no_name(scene: Scene) -> None:
    scene.accepted("apimart", "job-2")
    roll_back = closed(scene)
    retried(scene)
    scene.run(Step.SUBMIT, "job-2")
    roll_back()

    scene.run(Step.SUBMIT, "job-2")

    assert scene.counter("jobs_rolled_back") == 1
    looked_through(scene)
    scene.follow()
    assert scene.told.held[JOB].is_final


def test_the_sweep_asks_for_a_page_at_once_and_again_when_its_message_was_lost(scene: Scene) -> None:
    roll_back = closed(scene)
    failover(scene, roll_back)
    published: list[Step] = []

    def pages() -> int:
        sweep.run(scene.services, lambda named, _: published.append(named), lambda _: False)
        return published.count(Step.RETELL)

    first = pages()
    scene.advance(1)
    second = pages()
    scene.advance(15)

    assert (first, second, pages()) == (1, 1, 2)
