"""Submit, stopped or delayed at each instruction: nothing is paid twice, and nothing that was paid is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import WaitUntil
from tests.integration.steps.conftest import HOUR, JOB, Scene
from tests.integration.steps.meddling import failing, killed
from tests.integration.steps.rollbacks import refuse, with_bucket
from worker.bucket.bucket import Bucket
from worker.errors import StoreError
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.steps import Step, submit, submit_report

S = JobState


def another_worker(scene: Scene, seconds: float) -> Callable[..., None]:
    """Pause this worker: time passes, and another one runs the step."""

    def take_over(*_: object) -> None:
        scene.advance(seconds)
        scene.run(Step.SUBMIT)

    return take_over


def test_a_kill_before_the_intent_leaves_the_job_to_be_submitted(scene: Scene) -> None:
    scene.accepted()
    claim = scene.store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=120_000)
    assert claim is not None

    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED
    assert scene.posts() == 1


def test_a_kill_before_the_bucket_is_told_is_made_good_by_the_one_post(scene: Scene) -> None:
    scene.accepted("apimart")
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=with_bucket(scene, before={"begin": killed}))

    scene.look_when_due()
    scene.follow()

    assert scene.posts() == 1
    assert scene.moves()[1:5] == ["submitting", "accepted", "submitting", "submitted"]


def test_a_worker_paused_before_the_bucket_is_told_finds_its_try_taken_and_sends_nothing(scene: Scene) -> None:
    scene.accepted("apimart")

    def take_over() -> None:
        scene.advance(150)
        scene.run(Step.SUBMIT)
        scene.run(Step.SUBMIT)

    # no time passes for the one that is paused: a machine that was put to sleep
    asleep_at = scene.clock.now
    scene.run(
        Step.SUBMIT, services=replace(with_bucket(scene, before={"begin": take_over}), monotonic=lambda: asleep_at)
    )

    assert scene.posts() == 1
    assert scene.job().state is S.SUBMITTED


def test_a_worker_that_is_told_elsewhere_of_the_bucket_believes_in_no_post_that_was_not_sent(scene: Scene) -> None:
    scene.accepted("apimart")
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=scene.meddled("apimart", after_submit=killed))
    bucket = scene.services.bucket

    scene.advance(150)
    submit.run(JOB, scene.but(bucket=Bucket(bucket.objects.client, bucket.name, "another-prefix")))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_nothing_is_sent_that_the_bucket_could_not_be_told_of(scene: Scene) -> None:
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=with_bucket(scene, before={"begin": refuse}))
    waits = scene.job().waiting_for
    before = (scene.job().state, scene.posts())
    scene.look_when_due()
    scene.follow()

    assert (before, scene.posts()) == ((S.SUBMITTING, 0), 1)
    assert "the bucket to keep that it is sent" in waits


def test_an_s3_that_takes_it_and_does_not_say_so_costs_no_post_and_no_job(scene: Scene) -> None:
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=with_bucket(scene, after={"begin": refuse}))
    before = scene.posts()
    scene.look_when_due()
    scene.follow()

    assert (before, scene.posts()) == (0, 1)
    assert scene.job().request_id is not None


def test_a_kill_between_intent_and_post_is_never_made_good_by_a_second_post(scene: Scene) -> None:
    scene.accepted("apimart")
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=scene.meddled("apimart", before_submit=killed))

    while scene.job().error is None:
        scene.look_when_due()

    assert scene.posts() == 0
    assert scene.moves()[1:] == ["submitting", "unconfirmed", "failed(confirm)"]
    assert scene.job().error.code == "outcome_unknown"  # type: ignore[union-attr]


def test_a_kill_after_the_post_is_found_in_the_providers_list(scene: Scene) -> None:
    scene.accepted("gmicloud")
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=scene.meddled("gmicloud", after_submit=killed))

    scene.look_when_due()
    scene.look()

    assert [scene.job().request_id] == scene.created()
    assert scene.job().state is S.SUBMITTED
    scene.finish()
    assert scene.follow().state is S.ARCHIVED
    assert scene.posts() == 1


def test_a_kill_after_the_post_is_mended_by_the_callback(scene: Scene) -> None:
    scene.accepted("evolink")
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=scene.meddled("evolink", after_submit=killed))
    scene.finish()

    scene.deliver(request_id=scene.created()[0])
    scene.look_when_due()

    assert scene.job().state is S.UNCONFIRMED
    assert scene.follow().state is S.ARCHIVED
    assert scene.posts() == 1


def test_a_message_redelivered_after_a_kill_waits_for_the_leases_end(scene: Scene) -> None:
    scene.accepted()
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.SUBMIT, services=scene.meddled("gmicloud", after_submit=killed))

    scene.advance(119)

    assert scene.run(Step.SUBMIT) is None
    assert scene.job().state is S.SUBMITTING
    scene.advance(1)
    assert scene.run(Step.SUBMIT) is Step.POLL
    assert scene.posts() == 1


@pytest.mark.parametrize("lost", ["before", "after"])
def test_the_request_id_is_reported_again_while_redis_is_away(scene: Scene, lost: str) -> None:
    scene.accepted()
    flaky = scene.with_store(**{lost: {"attempts.bind": failing(5)}})

    scene.run(Step.SUBMIT, services=scene.but(store=flaky))

    assert scene.slept == [1.0] * 5
    assert [scene.job().request_id] == scene.created()
    assert scene.posts() == 1


def test_a_history_that_cannot_be_read_does_not_keep_a_request_id_from_its_record(scene: Scene) -> None:
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=scene.but(store=scene.with_store(before={"durations.took": failing(1000)})))

    assert [scene.job().request_id] == scene.created()
    assert scene.slept == []


@pytest.mark.parametrize("lost", ["before", "after"])
def test_not_taken_is_reported_again_while_redis_is_away(scene: Scene, lost: str) -> None:
    scene.rule("submit", status=429, retry_after=9)
    scene.accepted()
    flaky = scene.with_store(**{lost: {"jobs.move": failing(2)}})

    scene.run(Step.SUBMIT, services=scene.but(store=flaky))

    assert scene.moves() == ["accepted", "submitting", "accepted"]
    assert scene.due_in() >= 9


def test_a_redis_that_stays_away_leaves_the_post_to_be_bound_by_what_the_bucket_keeps(scene: Scene) -> None:
    scene.accepted("gmicloud")
    with pytest.raises(StoreError):
        scene.run(Step.SUBMIT, services=scene.but(store=scene.with_store(before={"attempts.bind": failing(1000)})))

    assert len(scene.slept) == submit_report.REPORT_TRIES
    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED
    assert scene.posts() == 1


def test_a_not_taken_told_twice_does_not_undo_the_next_try(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=1)
    scene.accepted()
    forgetful = scene.with_store(after={"jobs.move": failing()})
    next_try = another_worker(scene, seconds=5)

    scene.run(Step.SUBMIT, services=scene.but(store=forgetful, sleep=next_try))

    assert scene.job().state is S.SUBMITTED
    assert (scene.posts(), len(scene.created())) == (2, 1)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_intent_that_was_not_confirmed_is_not_acted_on_and_soon_followed_by_another(scene: Scene, lost: str) -> None:
    scene.accepted("apimart")
    flaky = scene.with_store(**{lost: {"attempts.begin": failing()}})

    scene.run(Step.SUBMIT, services=scene.but(store=flaky))

    assert scene.posts() == 0
    assert scene.job().state is (S.ACCEPTED if lost == "before" else S.SUBMITTING)
    assert 0 < scene.due_in() < 10
    scene.look_when_due()
    assert scene.follow(step=Step.SUBMIT).state is S.SUBMITTED
    assert scene.posts() == 1


def test_an_intent_that_was_not_confirmed_changes_nothing_once_somebody_else_acts_on_the_job(scene: Scene) -> None:
    scene.accepted("apimart")
    forgetful = scene.with_store(before={"attempts.begin": failing(), "due.rest": failing()})
    next_try = another_worker(scene, seconds=121)

    scene.run(Step.SUBMIT, services=scene.but(store=forgetful, sleep=next_try))

    assert scene.job().state is S.SUBMITTED
    assert scene.posts() == 1


def test_a_worker_paused_before_the_post_finds_its_lease_too_short_and_sends_nothing(scene: Scene) -> None:
    scene.accepted("apimart")
    paused = scene.with_store(after={"attempts.begin": lambda: scene.advance(60)})

    scene.run(Step.SUBMIT, services=scene.but(store=paused))

    assert scene.posts() == 0
    assert scene.job().state is S.ACCEPTED
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED


def test_preparing_that_takes_too_long_leaves_the_post_to_another_try(scene: Scene) -> None:
    scene.accepted("apimart")
    held_up = scene.with_store(after={"history.spec_json": lambda: scene.advance(51)})

    scene.run(Step.SUBMIT, services=scene.but(store=held_up))

    assert scene.posts() == 0
    assert scene.job().try_no == 0
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED


@pytest.mark.parametrize("pause", [121, 3 * HOUR])
def test_a_paused_workers_own_late_answer_still_counts(scene: Scene, pause: float) -> None:
    scene.accepted("apimart")
    waking = scene.meddled("apimart", after_submit=another_worker(scene, pause))

    scene.run(Step.SUBMIT, services=waking)

    assert scene.moves() == ["accepted", "submitting", "unconfirmed", "submitted"]
    assert [scene.job().request_id] == scene.created()
    assert scene.posts() == 1


def test_the_own_late_answer_revives_a_job_failed_for_an_unknown_outcome(scene: Scene) -> None:
    def wait_until_it_is_given_up(*_: object) -> None:
        scene.advance(121)
        scene.follow()
        scene.advance(3 * HOUR)
        scene.follow()

    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=scene.meddled("apimart", after_submit=wait_until_it_is_given_up))

    assert scene.moves()[2:] == ["unconfirmed", "failed(confirm)", "submitted"]
    assert scene.told.states == ["failed"]
    scene.finish()
    assert scene.follow().state is S.ARCHIVED
    assert scene.follow().closed_at is not None
    assert scene.told.states == ["failed", "archived"]


def test_a_refusal_that_comes_late_still_counts(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=scene.meddled("apimart", before_submit=another_worker(scene, 121)))

    assert scene.moves() == ["accepted", "submitting", "unconfirmed", "failed(submit)"]


def test_a_not_taken_that_comes_late_still_counts_for_the_try_that_is_current(scene: Scene) -> None:
    scene.rule("submit", status=429, retry_after=5)
    scene.accepted("apimart")

    scene.run(Step.SUBMIT, services=scene.meddled("apimart", before_submit=another_worker(scene, 121)))

    assert scene.moves() == ["accepted", "submitting", "unconfirmed", "accepted"]
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED
    assert (scene.posts(), len(scene.created())) == (2, 1)


def test_a_not_taken_that_comes_while_the_job_is_being_given_up_is_not_overruled(
    scene: Scene, wait_until: WaitUntil
) -> None:
    """One worker claims the job at the lease's end; before its verdict, the one that posted wakes up and reports."""
    scene.rule("submit", status=429, retry_after=30)
    scene.accepted("apimart")
    reported, given_up = threading.Event(), threading.Event()
    hesitant = scene.with_store(before={"jobs.move": reported.wait})

    def give_up() -> None:
        scene.run(Step.SUBMIT, services=scene.but(store=hesitant))
        given_up.set()

    def another_claims() -> None:
        lost_lease = scene.job().lease
        scene.advance(121)
        threading.Thread(target=give_up).start()
        wait_until(lambda: scene.job().lease != lost_lease)

    scene.run(Step.SUBMIT, services=scene.meddled("apimart", before_submit=another_claims))
    reported.set()

    assert given_up.wait(5)
    assert scene.moves() == ["accepted", "submitting", "accepted"]


def test_an_answer_with_another_id_than_the_one_bound_meanwhile_is_alarmed(scene: Scene) -> None:
    """The callback's request fits and is bound; then the POST's own answer names another one."""
    stranger = scene.strangers("evolink").request_id

    def bind_the_stranger(*_: object) -> None:
        scene.advance(121)
        scene.run(Step.SUBMIT)
        scene.deliver(request_id=stranger)
        scene.run(Step.POLL)

    scene.accepted("evolink")
    scene.run(Step.SUBMIT, services=scene.meddled("evolink", after_submit=bind_the_stranger))

    assert scene.job().request_id == stranger
    assert scene.counter("requests_unused") == 1


def test_a_callback_for_a_post_that_redis_forgot_is_not_paid_again(scene: Scene) -> None:
    """Redis lost its last moments: the job looks as if it had never been sent."""
    scene.accepted("evolink")
    scene.advance(5 * HOUR)
    scene.run(Step.SUBMIT)
    request_id = scene.created()[0]
    forget(scene)
    scene.finish()

    scene.deliver(request_id=request_id)
    next_step = scene.run(Step.SUBMIT)

    assert next_step is Step.POLL
    assert scene.job().request_id == request_id
    assert scene.follow().state is S.ARCHIVED
    assert scene.posts() == 1


def forget(scene: Scene) -> None:
    """Put the record back to what it was before its POST, as after a power loss without fsync."""
    client, keys = scene.store.scripts.client, scene.store.scripts.keys.of(JOB)
    kept = ("v", "state", "ver", "attempt", "spec_sha256", "provider", "model", "accepted_at", "state_at", "path")
    held: Any = client.hgetall(keys[0])
    record: dict[Any, Any] = {**{name: held[name] for name in kept}, "state": "accepted", "ver": "1"}
    client.delete(keys[0], keys[2], keys[3])
    client.hset(keys[0], mapping=record)
    client.zadd(keys[1], {JOB: scene.clock.now_ms})
    client.ltrim(keys[4], 0, 2)
    for pattern in ("callsheet:*:request:*", "callsheet:*:ledger*"):
        for name in client.scan_iter(match=pattern):
            client.delete(name)


def test_the_submit_answer_with_the_candidates_id_consumes_both(scene: Scene) -> None:
    def call_back_early(submission: Any) -> None:
        assert scene.deliver(request_id=submission.request_id) == "stored"

    scene.accepted("evolink")

    next_step = scene.run(Step.SUBMIT, services=scene.meddled("evolink", after_submit=call_back_early))

    assert next_step is Step.POLL
    assert scene.store.callbacks.candidates(JOB) == {}
    assert scene.is_due()
    scene.finish()
    assert scene.follow(step=Step.POLL).generated_by == "callback"


def test_the_submit_answer_with_another_id_discards_the_candidates(scene: Scene) -> None:
    def forge_early(_: object) -> None:
        scene.deliver(request_id="task-unified-1-forged00")

    scene.accepted("evolink")

    next_step = scene.run(Step.SUBMIT, services=scene.meddled("evolink", after_submit=forge_early))

    assert next_step is None
    assert scene.store.callbacks.candidates(JOB) == {}
    assert scene.store.callbacks.events(JOB) == ()
    assert [scene.job().request_id] == scene.created()
    assert scene.due_in() > 10


def test_a_refused_job_is_told_once_and_closed(scene: Scene) -> None:
    scene.rule("submit", status=422)
    scene.accepted("apimart")

    job = scene.follow()

    assert scene.told.states == ["failed"]
    assert job.closed_at is not None
    assert isinstance(job.error, JobError)
