"""Candidates: a request id that only a callback has named is bound once our own GET has shown it, and never before."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import ServiceUnavailable

from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import once
from tests.integration.steps.test_reconcile import blind
from worker.jobs.states import JobState
from worker.steps import Step

S = JobState
FORGED = "task-unified-1795000000-forged00"


def test_a_candidate_that_the_provider_confirms_is_bound_and_its_video_archived(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    scene.run(Step.POLL)
    scene.finish()

    assert scene.deliver(request_id=scene.created()[0]) == "stored"
    assert scene.is_due()
    job = scene.follow(step=Step.CONFIRM)

    assert job.state is S.ARCHIVED
    assert job.generated_by == "callback"
    assert scene.posts() == 1


def test_a_candidate_is_never_believed_unread(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    scene.run(Step.POLL)

    scene.deliver(request_id=FORGED)
    scene.follow()

    assert scene.job().state is S.UNCONFIRMED
    assert scene.job().request_id is None
    assert scene.objects() == {}


def test_a_forged_candidate_does_not_push_out_the_true_one(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    for number in range(7):
        scene.deliver(request_id=f"task-unified-1795000000-forged0{number}")

    scene.deliver(request_id=scene.created()[0])
    scene.follow()

    assert [scene.job().request_id] == scene.created()


def test_a_set_of_candidates_that_is_full_turns_the_callback_away_until_there_is_room(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    for number in range(8):
        scene.deliver(request_id=f"task-unified-1795000000-forged0{number}")
    with pytest.raises(Exception, match="503"):
        scene.deliver(request_id=scene.created()[0])
    scene.advance(10 * MINUTE)
    scene.follow()

    scene.deliver(request_id=scene.created()[0])
    scene.follow()

    assert [scene.job().request_id] == scene.created()


def test_eight_forged_ids_do_not_keep_the_true_one_out(scene: Scene) -> None:
    """Each forged one is asked about once; the provider comes again a second later, and later."""
    scene.unconfirmed("evolink")
    [request_id] = scene.created()
    for n in range(8):
        assert scene.deliver(request_id=f"{FORGED}{n}") == "stored"
    with pytest.raises(ServiceUnavailable):
        scene.deliver(request_id=request_id)
    scene.run(Step.POLL)

    assert scene.deliver(request_id=request_id) == "stored"

    scene.advance(MINUTE)
    scene.run(Step.POLL)
    assert scene.job().request_id == request_id


def test_a_candidate_of_another_time_is_refused(scene: Scene) -> None:
    old = scene.strangers("evolink")
    scene.advance(11 * MINUTE)
    scene.unconfirmed("evolink", created=False)

    scene.deliver(request_id=old.request_id)
    scene.follow()

    assert scene.job().state is S.UNCONFIRMED
    assert scene.store.callbacks.candidates(JOB) == {}
    assert scene.counter("candidates_refused") == 1


def test_a_candidate_that_belongs_to_another_job_is_refused(scene: Scene) -> None:
    other = scene.submitted("evolink", "other")
    scene.unconfirmed("evolink", created=False)

    scene.deliver(request_id=other.request_id)
    scene.follow()

    assert scene.job().state is S.UNCONFIRMED
    assert scene.store.callbacks.candidates(JOB) == {}
    assert scene.job("other") == other


def test_a_candidate_whose_get_fails_for_now_is_kept(scene: Scene) -> None:
    scene.rule("poll", status=500, times=3)
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])

    scene.run(Step.POLL)
    scene.advance(11 * MINUTE)
    scene.run(Step.POLL)
    scene.look_when_due()

    assert list(scene.store.callbacks.candidates(JOB)) == scene.created()
    scene.look_when_due()
    assert scene.job().state is S.SUBMITTED


def test_a_candidate_read_too_often_is_read_when_the_provider_says(scene: Scene) -> None:
    scene.rule("poll", status=429, retry_after=120)
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])

    scene.run(Step.POLL)

    assert scene.due_in() >= 120


def test_a_candidate_that_the_provider_shows_late_is_bound(scene: Scene) -> None:
    scene.rule("poll", not_found_seconds=5 * MINUTE, times=None)
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])

    while scene.job().state is S.UNCONFIRMED:
        assert list(scene.store.callbacks.candidates(JOB)) == scene.created()
        scene.look_when_due()

    assert [scene.job().request_id] == scene.created()


def test_only_no_such_id_over_ten_minutes_drops_a_candidate(scene: Scene) -> None:
    scene.unconfirmed("evolink", created=False)
    scene.deliver(request_id=FORGED)
    scene.run(Step.POLL)

    scene.advance(10 * MINUTE - 1)
    scene.run(Step.POLL)
    kept = list(scene.store.callbacks.candidates(JOB))
    scene.advance(MINUTE)
    scene.run(Step.POLL)

    assert kept == [FORGED]
    assert scene.store.callbacks.candidates(JOB) == {}


def test_reading_candidates_does_not_count_as_contradiction(scene: Scene) -> None:
    scene.unconfirmed("evolink", created=False)
    scene.deliver(request_id=FORGED)

    scene.advance(11 * MINUTE)
    scene.run(Step.POLL)

    assert scene.job().contradictions == 0


def test_a_job_with_an_unread_candidate_is_not_given_up_at_the_deadline(scene: Scene) -> None:
    scene.rule("poll", status=500, times=None)
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])

    scene.advance(3 * HOUR)
    scene.run(Step.POLL)

    assert scene.job().state is S.UNCONFIRMED


def test_a_candidate_that_nobody_can_read_is_kept_but_does_not_keep_the_caller_waiting_for_ever(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])

    scene.advance(DAY + 1)
    scene.run(Step.POLL, services=blind(scene))
    scene.run(Step.DELIVER)

    assert scene.told.states == ["failed"]
    assert scene.job().is_open
    assert scene.follow().state is S.ARCHIVED, "once the provider is back"
    assert scene.posts() == 1


def test_a_candidate_that_nobody_can_read_does_not_keep_a_job_open_beyond_the_retention(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    scene.deliver(request_id=scene.created()[0])
    scene.advance(DAY + 1)
    scene.run(Step.POLL, services=blind(scene))
    scene.run(Step.DELIVER)

    scene.advance(30 * DAY)
    scene.run(Step.REVISIT, services=blind(scene))

    assert scene.job().closed_at is not None


def test_a_callback_while_a_candidate_is_being_read_makes_the_job_due_again(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    request_id = scene.created()[0]
    scene.deliver(request_id=FORGED)
    busy = scene.with_store(before={"due.rest": once(lambda: scene.deliver(request_id=request_id))})

    scene.run(Step.POLL, services=scene.but(store=busy))

    assert scene.is_due()


def test_many_slow_candidates_do_not_cost_the_lease(scene: Scene) -> None:
    scene.unconfirmed("evolink")
    for number in range(5):
        scene.deliver(request_id=f"task-unified-1795000000-forged0{number}")
    request_id = scene.created()[0]
    scene.deliver(request_id=request_id)
    slow = scene.with_store(after={"due.renew": lambda: scene.advance(25)})

    scene.run(Step.POLL, services=scene.but(store=slow))

    assert scene.job().request_id == request_id
