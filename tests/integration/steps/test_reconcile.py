"""Confirm: an unconfirmed POST is settled by what can be proven with our own key, and never by a second POST."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.integration.steps.conftest import GENERATION_SECONDS, HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import once
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step

S = JobState


def blind(scene: Scene) -> Services:
    """The services of an operator who took every provider away."""
    return scene.but(providers={})


def test_a_request_that_the_list_shows_with_our_payload_is_bound(scene: Scene) -> None:
    scene.unconfirmed("gmicloud")

    next_step = scene.run(Step.POLL)

    assert next_step is Step.POLL
    assert scene.is_due()
    assert [scene.job().request_id] == scene.created()
    assert scene.told.started_jobs[-1].state is S.SUBMITTED


def test_a_request_on_the_lists_second_page_is_bound(scene: Scene) -> None:
    scene.unconfirmed()
    (ours,) = scene.created()
    for n in range(60):
        scene.submitted(job_id=f"later-{n}", prompt=f"another film, number {n}")

    scene.look_when_due()

    assert scene.job().request_id == ours


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ({"status": 500}, "http_500"),
        ({"body": {"requests": "none"}}, "unreadable: "),
        ({"body": {"requests": [{"request_id": "r-1", "created_at": "once", "payload": {}}]}}, "unreadable_time: "),
        ({"status": 401}, "bad_key: "),
    ],
    ids=str,
)
def test_a_list_that_does_not_tell_is_named_by_its_cause(scene: Scene, trouble: dict[str, Any], cause: str) -> None:
    scene.unconfirmed()
    scene.rule("list", **trouble)

    scene.look_when_due()

    assert f"(its list: {cause}" in scene.job().waiting_for


def test_a_request_of_another_payload_in_the_list_is_not_bound(scene: Scene) -> None:
    scene.strangers("gmicloud")
    scene.unconfirmed("gmicloud", created=False)

    scene.run(Step.POLL)

    assert scene.job().state is S.UNCONFIRMED
    assert scene.job().request_id is None


def test_a_list_that_echoes_no_payload_binds_nothing(scene: Scene) -> None:
    scene.unconfirmed("gmicloud")
    record = {"request_id": scene.created()[0], "model": "kling-3.0-turbo-t2v", "created_at": int(scene.clock.now)}
    scene.rule("list", body={"requests": [{**record, "status": "processing"}]})

    scene.run(Step.POLL)

    assert scene.job().state is S.UNCONFIRMED


def test_an_equal_request_from_long_before_the_post_is_not_bound(scene: Scene) -> None:
    scene.unconfirmed("gmicloud", "old")
    scene.advance(11 * MINUTE)
    scene.unconfirmed("gmicloud", created=False, prompt="a corgi for old.")

    scene.run(Step.POLL)

    assert scene.job().state is S.UNCONFIRMED


@pytest.mark.parametrize("created", [2, 1])
def test_two_jobs_of_the_same_spec_unconfirmed_at_once_never_share_a_request(scene: Scene, created: int) -> None:
    scene.unconfirmed("gmicloud", "job-1", prompt="two corgis")
    scene.unconfirmed("gmicloud", "job-2", created=created == 2, prompt="two corgis")
    together = threading.Barrier(2)

    def confirm(job_id: str) -> None:
        together.wait()
        scene.run(Step.POLL, job_id)

    threads = [threading.Thread(target=confirm, args=(job_id,)) for job_id in ("job-1", "job-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    bound = [scene.job(job_id).request_id for job_id in ("job-1", "job-2")]
    assert {request_id for request_id in bound if request_id} == {
        request["request_id"] for request in scene.control.requests()
    }
    assert len([request_id for request_id in bound if request_id]) == created


def test_a_list_that_fails_for_now_is_read_again(scene: Scene) -> None:
    scene.rule("list", status=500, times=3)
    scene.unconfirmed("gmicloud")
    scene.run(Step.POLL)

    for _ in range(3):
        assert scene.job().state is S.UNCONFIRMED
        assert scene.due_in() <= MINUTE
        scene.look_when_due()

    assert scene.job().state is S.SUBMITTED


def test_a_list_that_shows_nothing_is_read_less_and_less_often(scene: Scene) -> None:
    scene.unconfirmed("gmicloud", created=False)
    looks = 0

    while scene.job().state is S.UNCONFIRMED:
        scene.look_when_due()
        looks += 1

    assert looks < 40, "two hours"


def test_a_list_that_asks_us_to_wait_is_not_asked_sooner(scene: Scene) -> None:
    scene.rule("list", status=429, retry_after=300)
    scene.unconfirmed("gmicloud")

    scene.run(Step.POLL)

    assert scene.due_in() >= 300


def test_without_a_list_the_job_waits_for_its_callback_until_the_deadline(scene: Scene) -> None:
    scene.unconfirmed("evolink")

    scene.run(Step.POLL)

    assert 2 * HOUR <= scene.due_in() < 2 * HOUR + MINUTE
    assert scene.job().waiting_for == "evolink to tell whether it took the request"
    assert scene.gets() == 0


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_the_deadline_fails_the_job_as_outcome_unknown(scene: Scene, provider: str) -> None:
    scene.unconfirmed(provider, created=False)

    scene.advance(2 * HOUR + 1)
    next_step = scene.run(Step.POLL)

    assert next_step is Step.DELIVER
    assert scene.job().error == JobError(
        "confirm",
        "outcome_unknown",
        f"{provider} never told whether it took the request; it may have been paid: check its billing page",
    )
    scene.follow()
    assert scene.told.states == ["failed"]
    assert scene.posts() == 1
    assert scene.job().is_open is (provider == "gmicloud"), "only a list can still tell by itself"


def test_a_minute_before_the_deadline_nothing_is_given_up(scene: Scene) -> None:
    scene.unconfirmed("apimart", created=False)

    scene.advance(2 * HOUR - MINUTE)
    scene.run(Step.POLL)

    assert scene.job().state is S.UNCONFIRMED


def test_a_providers_removal_does_not_keep_an_unconfirmed_job_for_ever(scene: Scene) -> None:
    scene.unconfirmed("gmicloud")
    scene.run(Step.POLL, services=blind(scene))
    scene.advance(2 * HOUR + 1)

    scene.run(Step.POLL, services=blind(scene))

    assert scene.moves()[-1] == "failed(confirm)"


def test_a_callback_while_the_job_is_given_up_is_not_lost(scene: Scene) -> None:
    """The candidate comes between the step's last look at the set and its verdict."""
    scene.unconfirmed("evolink")
    request_id = scene.created()[0]
    scene.advance(2 * HOUR + 1)
    busy = scene.with_store(before={"jobs.move": once(lambda: scene.deliver(request_id=request_id))})

    scene.run(Step.POLL, services=scene.but(store=busy))

    assert scene.moves()[-1] == "failed(confirm)"
    scene.run(Step.DELIVER)
    scene.run(Step.REVISIT)
    assert scene.job().request_id == request_id


def test_a_look_that_outlasts_its_lease_leaves_the_job_to_whoever_took_over(scene: Scene) -> None:
    scene.unconfirmed("gmicloud", created=False)
    slow = scene.with_store(before={"callbacks.candidates": once(lambda: scene.advance(46))})

    next_step = scene.run(Step.POLL, services=scene.but(store=slow))

    assert next_step is None
    assert scene.is_due()
    assert scene.calls("GET") == []


def test_the_verdict_of_a_look_that_outlasted_its_lease_does_not_count(scene: Scene) -> None:
    scene.unconfirmed("apimart", created=False)
    scene.advance(2 * HOUR + 1)

    def take_over() -> None:
        scene.advance(46)
        assert scene.store.due.claim(JOB, states=(S.UNCONFIRMED,), lease_ms=45_000) is not None

    slow = scene.with_store(before={"jobs.move": once(take_over)})
    next_step = scene.run(Step.POLL, services=scene.but(store=slow))

    assert next_step is None
    assert scene.job().state is S.UNCONFIRMED


def test_confirming_an_unconfirmed_job_binds_it_first(scene: Scene) -> None:
    scene.unconfirmed("gmicloud")
    scene.advance(GENERATION_SECONDS + 1)

    next_step = scene.run(Step.CONFIRM)

    assert next_step is Step.ARCHIVE
    assert scene.moves()[3:] == ["submitted", "generated"]


def test_a_confirmation_that_ends_the_wait_starts_what_is_owed(scene: Scene) -> None:
    scene.unconfirmed("apimart", created=False)
    scene.advance(2 * HOUR + 1)

    assert scene.run(Step.CONFIRM) is Step.DELIVER


def test_a_crash_between_taking_the_id_and_binding_it_orphans_no_paid_request(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    scene.unconfirmed("gmicloud")
    store = scene.another_store()
    monkeypatch.setattr(store.jobs, "move", lambda *_, **__: die())
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.POLL, services=scene.but(store=store))

    scene.look_when_due()

    assert [scene.job().request_id] == scene.created()
