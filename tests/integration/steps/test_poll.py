"""Poll: the provider's own answer moves the job; a callback only says when to ask."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.steps.conftest import JOB, MINUTE, Scene
from worker.jobs.states import JobState
from worker.steps import Step, batch

S = JobState


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


def test_a_doubled_message_does_not_poll_twice(scene: Scene) -> None:
    scene.submitted()
    scene.look_when_due()

    scene.run(Step.POLL)
    scene.run(Step.POLL)

    assert scene.gets() == 1


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
