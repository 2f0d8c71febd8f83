"""Redis comes back as an older self: what may have been sent is never sent again, what was not sent goes on."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import failing, killed, meddled_store, once
from tests.integration.steps.rollbacks import another_process, followed_to_its_end, refuse, snapshot, with_bucket
from worker.errors import StoreError
from worker.jobs.states import JobState
from worker.operations import cancel, retry
from worker.steps import Step, submit

S = JobState


def killed_after_its_post(scene: Scene, provider: str) -> None:
    """A POST that was taken, and whose answer nobody has kept."""
    with pytest.raises(KeyboardInterrupt):
        submit.run(JOB, scene.meddled(provider, after_submit=killed))


def test_a_job_that_was_sent_is_not_sent_again_after_a_failover(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "gmicloud")
    roll_back()
    assert scene.job().state is S.ACCEPTED

    submit.run(JOB, another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)
    assert scene.counter("jobs_rolled_back") == 1


def test_a_job_whose_record_was_lost_with_it_is_not_paid_again_when_it_is_sent_again(scene: Scene) -> None:
    roll_back = snapshot(scene)
    scene.submitted("gmicloud")
    roll_back()
    assert scene.store.jobs.get(JOB) is None

    scene.accepted("gmicloud")
    scene.finish()
    job = scene.follow()

    assert (job.state, scene.posts()) == (S.ARCHIVED, 1)
    assert scene.counter("jobs_rolled_back") == 1


def test_a_redis_that_is_empty_pays_for_nothing_twice(scene: Scene) -> None:
    scene.accepted("evolink")
    killed_after_its_post(scene, "evolink")
    scene.store.scripts.client.flushdb()

    scene.accepted("evolink")
    submit.run(JOB, another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_job_that_was_sent_is_not_told_as_cancelled(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "gmicloud")
    roll_back()

    reply = cancel.run(JOB, scene.services)

    assert (reply.word, scene.job().state) == ("late", S.UNCONFIRMED)


def test_a_job_that_was_sent_is_not_told_as_never_taken_when_its_time_is_over(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "gmicloud")
    roll_back()

    scene.advance(7 * HOUR)
    submit.run(JOB, another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_request_taken_for_a_job_whose_record_was_lost_meanwhile_is_counted(scene: Scene) -> None:
    roll_back = snapshot(scene)
    scene.accepted("gmicloud")
    services = scene.but(store=scene.with_store(before={"attempts.bind": roll_back}))

    submit.run(JOB, services)

    assert scene.store.jobs.get(JOB) is None
    assert scene.counter("requests_orphaned") == 1


def test_the_request_that_was_made_is_found_again_by_the_provider_s_list(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "gmicloud")
    roll_back()

    scene.follow()
    scene.finish()
    scene.advance(MINUTE)
    job = scene.follow()

    assert (job.state, scene.posts()) == (S.ARCHIVED, 1)


def test_a_late_report_of_the_lost_post_is_believed(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    services = scene.meddled("gmicloud", after_submit=lambda _: roll_back())

    submit.run(JOB, services)

    assert (scene.job().state, scene.posts()) == (S.SUBMITTED, 1)


@pytest.mark.parametrize("provider", ["gmicloud", "apimart"])
def test_a_claim_that_a_failover_has_lost_takes_nothing_from_the_one_that_sends(scene: Scene, provider: str) -> None:
    """One worker's claim is lost and its intent not answered; another one claims the job anew and is sending it."""
    scene.accepted(provider)
    before_the_claim = snapshot(scene)
    sending, done = threading.Event(), threading.Event()

    def send_slowly() -> None:
        sending.set()
        assert done.wait(20)

    other = replace(scene.meddled(provider, before_submit=send_slowly), store=another_process(scene).store)
    thread = threading.Thread(target=lambda: submit.run(JOB, other))

    def fail_over() -> None:
        before_the_claim()
        thread.start()
        assert sending.wait(20)
        raise StoreError("the intent was not answered")

    submit.run(JOB, scene.but(store=scene.with_store(before={"attempts.begin": once(fail_over)})))
    while_it_sends = scene.job().state
    scene.advance(6)
    submit.run(JOB, another_process(scene))
    done.set()
    thread.join(30)

    assert while_it_sends is S.SUBMITTING
    assert (scene.job().state, scene.posts()) == (S.SUBMITTED, 1)


@pytest.mark.parametrize("memory", ["kept", "lost"])
def test_an_intent_without_an_answer_leaves_no_hole_for_a_rollback_to_send_through(scene: Scene, memory: str) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    submit.run(JOB, scene.but(store=scene.with_store(after={"attempts.begin": failing(1)})))
    while scene.job().state is not S.SUBMITTED:
        scene.look_when_due()
    [request_id] = scene.created()
    roll_back()

    while scene.job().state is S.ACCEPTED:
        submit.run(JOB, another_process(scene) if memory == "lost" else scene.services)

    assert (scene.job().request_id, scene.posts()) == (request_id, 1)


def test_a_try_that_the_bucket_knows_is_not_stepped_over_by_an_intent_without_an_answer(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "apimart")
    roll_back()
    other = another_process(scene)

    submit.run(JOB, replace(other, store=meddled_store(other.store, {}, {"attempts.begin": failing(1)})))
    scene.look_when_due()

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_worker_on_its_way_to_the_bucket_sends_nothing_once_its_job_was_cancelled_in_another_redis(
    scene: Scene,
) -> None:
    """Its intent is lost with the old Redis before the bucket is told: the cancel finds nothing, and takes the try."""
    scene.accepted("apimart")
    roll_back = snapshot(scene)

    def fail_over() -> None:
        roll_back()
        assert cancel.run(JOB, another_process(scene)).applied

    submit.run(JOB, with_bucket(scene, before={"begin": once(fail_over)}))

    assert (scene.job().state, scene.posts()) == (S.CANCELLED, 0)


def test_a_worker_on_its_way_to_the_bucket_sends_nothing_once_its_jobs_time_was_over_in_another_redis(
    scene: Scene,
) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)

    def fail_over() -> None:
        roll_back()
        scene.advance(7 * HOUR)
        submit.run(JOB, another_process(scene))
        assert scene.moves()[-1] == "failed(submit)"

    asleep_at = scene.clock.now
    services = with_bucket(scene, before={"begin": once(fail_over)})
    submit.run(JOB, replace(services, monotonic=lambda: asleep_at))

    assert scene.posts() == 0
    assert retry.run(JOB, scene.services).applied


@pytest.mark.parametrize("minutes_later", [0, 40])
@pytest.mark.parametrize("provider", ["gmicloud", "evolink"])
def test_the_last_try_is_looked_for_at_the_time_that_the_bucket_tells(
    scene: Scene, provider: str, minutes_later: int
) -> None:
    """The first try is refused for now, the second, half an hour later, is taken; the bucket cannot be told by whom."""
    scene.accepted(provider)
    roll_back = snapshot(scene)
    scene.rule("submit", status=503, retry_after=900)
    submit.run(JOB, scene.services)
    scene.advance(30 * MINUTE)
    submit.run(JOB, with_bucket(scene, before={"keep": refuse}))
    [request_id] = scene.created()
    scene.advance(minutes_later * MINUTE)
    roll_back()

    while scene.job().state is S.ACCEPTED:
        submit.run(JOB, another_process(scene))
    found_as = scene.job().state
    scene.finish()
    if provider == "evolink":
        scene.deliver(request_id=request_id)
    scene.follow()
    job = followed_to_its_end(scene)

    assert (found_as, job.state, job.request_id) == (S.UNCONFIRMED, S.ARCHIVED, request_id)
    assert len(scene.created()) == 1


def test_a_callback_of_a_long_generation_is_not_refused_for_its_time_when_it_comes_first(scene: Scene) -> None:
    scene.accepted("evolink")
    roll_back = snapshot(scene)
    killed_after_its_post(scene, "evolink")
    [request_id] = scene.created()
    scene.advance(40 * MINUTE)
    roll_back()

    scene.deliver(request_id=request_id)
    scene.follow()

    assert followed_to_its_end(scene).state is S.ARCHIVED


def test_all_that_was_not_sent_is_sent_after_a_rollback(scene: Scene) -> None:
    job_ids = [f"job-{n}" for n in range(8)]
    for job_id in job_ids:
        scene.accepted("apimart", job_id)
    roll_back = snapshot(scene)
    submit.run("job-0", scene.services)
    roll_back()

    for job_id in job_ids:
        submit.run(job_id, another_process(scene))

    assert [scene.job(job_id).state for job_id in job_ids] == [S.SUBMITTED] * 8
    assert [scene.posts(job_id) for job_id in job_ids] == [1] * 8


def test_a_job_that_no_provider_took_is_sent_after_a_rollback(scene: Scene) -> None:
    """The bucket keeps that the try was not taken: it must not be waited for until a deadline."""
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    scene.rule("submit", status=429)
    submit.run(JOB, scene.services)
    roll_back()

    while scene.job().state is S.ACCEPTED:
        submit.run(JOB, another_process(scene))

    assert (scene.job().state, len(scene.created())) == (S.SUBMITTED, 1)
    assert scene.counter("jobs_rolled_back") == 0


def test_a_job_that_was_refused_is_refused_after_a_rollback_and_not_sent_beside_its_second_attempt(
    scene: Scene,
) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    scene.rule("submit", status=400)
    scene.follow()
    retry.run(JOB, scene.services)
    scene.run(Step.SUBMIT)
    [request_id] = scene.created()
    roll_back()

    ended = scene.follow().held
    retry.run(JOB, scene.services)
    scene.run(Step.SUBMIT)

    assert (ended, scene.job().request_id, scene.created()) == ("failed(submit)", request_id, [request_id])


def test_a_job_that_was_told_as_cancelled_stays_so_after_a_rollback(scene: Scene) -> None:
    scene.accepted("apimart")
    roll_back = snapshot(scene)
    assert cancel.run(JOB, scene.services).applied
    roll_back()

    scene.follow()

    assert (scene.job().state, scene.posts(), scene.told.states) == (S.CANCELLED, 0, ["cancelled"])


def test_a_try_that_no_provider_took_is_followed_by_another(scene: Scene) -> None:
    scene.accepted("gmicloud")
    scene.rule("submit", status=503, retry_after=1)
    submit.run(JOB, scene.services)
    assert scene.job().state is S.ACCEPTED

    scene.advance(MINUTE)
    submit.run(JOB, scene.services)

    assert (scene.job().state, scene.posts()) == (S.SUBMITTED, 2)


def test_a_redis_that_lost_nothing_holds_nobody_up(scene: Scene) -> None:
    scene.submitted("gmicloud", "job-0")
    scene.accepted("gmicloud")
    snapshot(scene)()
    scene.sweep()

    submit.run(JOB, another_process(scene))

    assert scene.job().state is S.SUBMITTED
    assert scene.counter("jobs_rolled_back") == 0


def test_a_second_attempt_that_redis_has_lost_is_not_paid_for_again(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted("apimart")
    scene.follow()
    roll_back = snapshot(scene)
    retry.run(JOB, scene.services)
    scene.run(Step.SUBMIT)
    [request_id] = scene.created()
    roll_back()

    assert retry.run(JOB, scene.services).applied
    scene.run(Step.SUBMIT)

    assert (scene.job().attempt, scene.job().request_id, scene.created()) == (2, request_id, [request_id])
