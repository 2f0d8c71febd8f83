"""Poll: the provider's own answer moves the job; a callback only says when to ask."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.jobs.timing import LEAST_HISTORY
from worker.services import Services
from worker.steps import Step, batch

S = JobState


def credulous(scene: Scene) -> Services:
    """The services of somebody who believes callbacks unconfirmed."""
    return scene.but(settings=replace(scene.services.settings, confirm_callbacks=False))


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_finished_generation_is_found_by_polling_alone(scene: Scene, provider: str) -> None:
    scene.submitted(provider)

    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()

    job = scene.job()
    assert job.state is S.GENERATED
    assert (job.generated_by, job.progress) == ("poll", 100)
    assert scene.is_due()
    assert scene.clock.now < 1_795_000_000 + 120, "a lost callback costs seconds, not the job"


@pytest.mark.parametrize("provider", ["gmicloud", "apimart"])
def test_poll_intervals_grow_with_the_wait_so_that_gets_stay_few(scene: Scene, provider: str) -> None:
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


def test_progress_is_told_as_it_grows_and_never_falls(scene: Scene) -> None:
    scene.submitted("evolink")
    for _ in range(3):
        scene.deliver(status="processing")
    shown: list[int] = []

    while scene.job().state is S.SUBMITTED:
        scene.advance(19)
        scene.store.due.nudge([JOB])
        scene.run(Step.POLL)
        shown.append(scene.job().progress)

    assert shown == sorted(shown)
    assert shown[-1] == 100
    assert [job.progress for job in scene.told.started_jobs] == sorted({0, *shown} - {100})


def test_retry_after_is_kept(scene: Scene) -> None:
    scene.submitted()
    scene.rule("poll", status=429, retry_after=77)

    scene.look_when_due()

    assert scene.due_in() >= 77
    assert scene.job().waiting_for == "gmicloud to answer (rate_limited: answered 429: too many requests)"


def test_a_doubled_message_does_not_poll_twice(scene: Scene) -> None:
    scene.submitted()
    scene.look_when_due()

    scene.run(Step.POLL)
    scene.run(Step.POLL)

    assert scene.gets() == 1


def test_a_message_that_overtakes_the_first_poll_waits_for_it(scene: Scene) -> None:
    scene.submitted()

    scene.run(Step.POLL)

    assert scene.gets() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"html": True},
        {"cut": True, "times": 2},  # a kept connection that was cut is tried anew, once
        {"half": True},
        {"body": {"nonsense": 1}},
        {"html": True, "status": 200},
    ],
    ids=["500", "proxy", "reset", "half", "no status", "proxy's 200"],
)
def test_a_get_that_teaches_nothing_changes_nothing(scene: Scene, trouble: dict[str, object]) -> None:
    scene.submitted()
    scene.advance(61)
    scene.rule("poll", **trouble)

    scene.run(Step.POLL)

    assert scene.job().state is S.SUBMITTED
    assert scene.job().failures == 1
    assert 0 < scene.due_in() < 5
    scene.look_when_due()
    assert scene.job().state is S.GENERATED


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


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_an_unknown_word_keeps_polling_and_is_counted(scene: Scene, provider: str) -> None:
    scene.submitted(provider)
    scene.rule("poll", status_word="reticulating", times=2)

    scene.look_when_due()
    scene.look_when_due()

    assert scene.job().state is S.SUBMITTED
    assert scene.job().waiting_for == f"{provider}: reticulating"
    assert scene.counter("unknown_statuses") == 2
    scene.finish()
    scene.look_when_due()
    assert scene.job().state is S.GENERATED


def test_a_success_without_a_video_is_not_final(scene: Scene) -> None:
    scene.rule("generation", videos=0)
    scene.submitted()
    scene.advance(61)

    scene.run(Step.POLL)

    assert scene.job().state is S.SUBMITTED


def test_a_request_that_the_provider_does_not_show_yet_is_waited_for(scene: Scene) -> None:
    scene.rule("poll", not_found_seconds=5 * MINUTE, times=None)
    scene.submitted()

    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()

    assert scene.job().state is S.GENERATED
    assert scene.counter("requests_unknown_there") == 0


def test_a_request_that_vanished_at_the_provider_is_alarmed_and_asked_for_until_the_deadline(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.rule("poll", status=404, times=None)

    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()

    assert scene.job().state is S.EXPIRED
    assert scene.counter("requests_unknown_there") > 3


@pytest.mark.parametrize(
    ("provider", "outcome", "code", "provider_code"),
    [
        ("gmicloud", "failed", "moderation", ""),
        ("evolink", "failed", "moderation", "nsfw"),
        ("evolink", "cancelled", "cancelled_there", "request_cancelled"),
        ("apimart", "failed", "moderation", "nsfw"),
        ("gmicloud", "cancelled", "cancelled_there", ""),
    ],
)
def test_a_failed_generation_is_told_in_one_word_for_all_and_in_the_providers(
    scene: Scene, provider: str, outcome: str, code: str, provider_code: str
) -> None:
    scene.rule("generation", outcome=outcome, code="nsfw", message="not that")
    scene.submitted(provider)

    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()
    job = scene.follow()

    assert job.error is not None
    assert (job.error.stage, job.error.code, job.error.provider_code) == ("generate", code, provider_code)
    assert scene.told.states == ["failed"]


PROMPT = "a corgi that nobody may hear of, for job-1."


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
@pytest.mark.parametrize(
    ("on", "rule"),
    [
        ("generation", {"outcome": "failed", "code": "nsfw", "message": f"we do not like '{PROMPT}' at all"}),
        ("generation", {"outcome": "failed", "code": "nsfw", "message": PROMPT[:25]}),
        ("poll", {"status_word": PROMPT[:38], "times": 1}),
        ("poll", {"status": 500, "body": {"error": {"code": "x", "message": PROMPT}}, "times": 1}),
        ("poll", {"status": 404, "body": {"error": {"code": "task_not_found", "message": PROMPT}}, "times": 1}),
    ],
    ids=["a failure", "a part in a failure", "a status", "an error", "an unknown request"],
)
def test_a_prompt_that_the_provider_repeats_is_told_nowhere(
    scene: Scene, provider: str, on: str, rule: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "worker")
    scene.rule(on, **rule)
    scene.submitted(provider, prompt=PROMPT)

    scene.look_when_due()
    waiting = scene.job()
    if on == "poll":
        scene.finish()
    while scene.job().state is S.SUBMITTED:
        scene.look_when_due()
    scene.follow()

    told = f"{[vars(record) for record in caplog.records]} {waiting} {scene.job()} {scene.store.history.timeline(JOB)}"
    assert "corgi that nobody" not in told
    assert "[hidden]" in told or on == "poll"


def test_two_looks_at_once_move_the_job_once(scene: Scene) -> None:
    scene.submitted()
    scene.advance(61)

    found = batch.take(Step.POLL, [JOB, JOB], scene.services)

    assert found == {JOB: Step.ARCHIVE}
    assert scene.moves().count("generated") == 1


def test_a_look_that_comes_to_its_end_late_changes_no_version(scene: Scene) -> None:
    """A paused poller wakes up when the job has long been archived, told and closed."""
    scene.submitted()
    scene.advance(61)

    def meanwhile() -> None:
        scene.advance(46)
        scene.follow()
        scene.follow()

    scene.run(Step.POLL, services=scene.meddled("gmicloud", after_fetch=meanwhile))

    job = scene.job()
    assert job.closed_at is not None
    assert job.told_ver == job.ver
    assert scene.told.states == ["archived"]


def test_an_old_answer_does_not_fail_a_job_that_has_a_video_by_now(scene: Scene) -> None:
    """The provider said failed, then thought better of it; the first reader wakes up last."""
    scene.rule("poll", status_word="failed")
    scene.submitted("gmicloud")
    scene.advance(61)

    def meanwhile() -> None:
        scene.advance(46)
        scene.run(Step.POLL)

    scene.run(Step.POLL, services=scene.meddled("gmicloud", after_fetch=meanwhile))

    assert scene.job().state is S.GENERATED


def test_many_jobs_of_one_message_are_polled_though_one_is_broken(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        scene.submitted("gmicloud", f"job-{number}")
    scene.finish()
    scene.store.scripts.client.set(scene.store.scripts.keys.of("job-2")[3], "an events key of the wrong type")

    found = batch.take(Step.POLL, [f"job-{number}" for number in range(5)], scene.services)

    assert found == {f"job-{number}": Step.ARCHIVE for number in (0, 1, 3, 4)}
    assert "step.postponed" in caplog.messages
    scene.store.scripts.client.delete(scene.store.scripts.keys.of("job-2")[3])


# Callbacks


def test_a_callback_makes_the_job_due_and_our_own_get_moves_it(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.advance(61)

    assert scene.deliver() == "stored"
    assert scene.is_due()
    scene.run(Step.CONFIRM)

    assert scene.job().generated_by == "callback"
    assert scene.gets() == 1


@pytest.mark.parametrize("lie", ["completed", "failed"])
def test_a_forged_callback_moves_nothing(scene: Scene, lie: str) -> None:
    scene.submitted("evolink")

    scene.deliver(status=lie)
    scene.run(Step.CONFIRM)

    assert scene.job().state is S.SUBMITTED
    assert scene.job().contradictions == 1
    assert scene.objects() == {}


def test_a_forged_failure_of_a_finished_generation_is_counted_and_the_video_kept(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()

    scene.deliver(status="failed")
    job = scene.follow(step=Step.CONFIRM)

    assert job.state is S.ARCHIVED
    assert job.contradictions == 1
    assert job.generated_by == "poll", "what the callback said was not true"


def test_a_forged_success_of_a_failed_generation_is_counted(scene: Scene) -> None:
    scene.rule("generation", outcome="failed")
    scene.submitted("evolink")
    scene.finish()

    scene.deliver(status="completed")
    job = scene.follow(step=Step.CONFIRM)

    assert job.error == JobError("generate", "generation_failed", "The generation failed.", "generation_failed")
    assert job.contradictions == 1


def test_an_unknown_word_contradicts_nothing(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.rule("poll", status_word="reticulating")

    scene.deliver()
    scene.run(Step.CONFIRM)

    assert scene.job().contradictions == 0


def test_after_three_contradictions_the_job_is_only_polled(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")
    for number in range(3):
        scene.deliver(status=("completed", "failed", "cancelled")[number])
        scene.run(Step.CONFIRM)
        scene.advance(1)
    gets = scene.gets()

    for _ in range(5):
        scene.deliver()
        scene.run(Step.CONFIRM)

    assert scene.job().contradictions == 3
    assert scene.counter("callbacks_contradicted") == 3
    assert scene.gets() == gets == 3
    scene.advance(HOUR)
    assert scene.follow().state is S.ARCHIVED


def test_a_callback_that_comes_during_a_look_is_looked_at_next_and_not_denied_by_it(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")
    scene.advance(HOUR - 1)

    def finish() -> None:
        scene.advance(1)
        scene.deliver()

    scene.run(Step.POLL, services=scene.meddled("evolink", after_fetch=finish))

    assert scene.job().contradictions == 0
    assert scene.is_due()
    assert scene.follow().state is S.ARCHIVED


def test_the_callback_of_the_current_job_named_by_another_id_is_no_callback_of_it(scene: Scene) -> None:
    scene.submitted("evolink")

    with pytest.raises(Exception, match="mismatch"):
        scene.deliver(request_id="task-unified-1795000000-another0")

    assert scene.store.callbacks.events(JOB) == ()
    assert scene.is_due(), "the token is the job's own: somebody should look"


def test_with_confirmation_switched_off_the_token_is_believed(scene: Scene) -> None:
    scene.rule("generation", seconds=HOUR)
    scene.submitted("evolink")

    scene.deliver(status="failed")
    scene.run(Step.CONFIRM, services=credulous(scene))

    assert scene.moves()[-1] == "failed(generate)"
    assert scene.store.history.timeline(JOB)[-1].path == "callback"
    assert scene.gets() == 0


def test_with_confirmation_switched_off_the_callbacks_own_links_are_archived(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    links = scene.control.requests("evolink")[0]["links"]

    scene.deliver(links=links)
    scene.run(Step.CONFIRM, services=credulous(scene))
    scene.run(Step.ARCHIVE)

    assert scene.job().state is S.ARCHIVED
    assert scene.gets() == 0


def test_with_confirmation_switched_off_a_job_without_a_callback_is_polled(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()

    scene.look_when_due()

    assert scene.job().state is S.GENERATED
    assert scene.gets() == 1


def test_the_first_poll_is_timed_by_what_the_models_last_generations_took(scene: Scene) -> None:
    for n in range(LEAST_HISTORY):
        scene.generated("gmicloud", f"before-{n}")

    scene.submitted("gmicloud", "after")

    took = scene.store.durations.took("gmicloud", scene.job("after").model)
    assert len(took) == LEAST_HISTORY
    assert 0.9 * 1.1 * min(took) <= scene.due_in("after") <= 1.1 * 1.1 * min(took)
