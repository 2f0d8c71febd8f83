"""Batch: the jobs of one message are worked on together, and what became final is delivered in the same breath."""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest

from tests.integration.steps.conftest import JOB, Scene
from tests.integration.steps.meddling import failing
from worker.jobs.states import JobState
from worker.logs import configure
from worker.steps import NAMELESS, Step, batch

S = JobState


def test_jobs_of_one_message_are_sent_to_their_provider_together(scene: Scene) -> None:
    names = [f"job-{number}" for number in range(4)]
    for name in names:
        scene.accepted("gmicloud", name)
    met = threading.Barrier(len(names), timeout=30)
    services = scene.but(store=scene.with_store(before={"attempts.begin": met.wait}))

    found = batch.take(Step.SUBMIT, names, services)

    assert found == {}
    assert [scene.job(name).state for name in names] == [S.SUBMITTED] * 4
    assert [scene.posts(name) for name in names] == [1] * 4


def test_a_job_named_twice_is_sent_once(scene: Scene) -> None:
    scene.accepted()

    batch.take(Step.SUBMIT, [JOB, JOB], scene.services)

    assert scene.posts() == 1


def test_what_has_failed_is_delivered_in_the_same_breath(scene: Scene) -> None:
    scene.rule("generation", outcome="failed")
    scene.submitted()
    scene.finish()

    found = batch.take(Step.POLL, [JOB], scene.services)

    assert found == {}
    assert scene.told.states == ["failed"]
    assert scene.job().told_ver == scene.job().ver


def test_a_job_whose_delivery_was_not_recorded_stays_due(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.rule("generation", outcome="failed")
    scene.submitted()
    scene.finish()
    services = scene.but(store=scene.with_store(before={"jobs.delivered": failing(times=9)}))

    batch.take(Step.POLL, [JOB], services)

    assert scene.moves()[-1] == "failed(generate)"
    assert scene.job().is_open
    assert "step.postponed" in caplog.messages


def test_every_step_but_the_one_that_chooses_its_jobs_is_taken_for_named_jobs() -> None:
    assert set(batch.RUNS) == set(Step) - NAMELESS
    assert set(batch.AT_ONCE) == set(batch.RUNS)


def test_no_job_is_no_work(scene: Scene) -> None:
    assert batch.take(Step.POLL, [], scene.services) == {}


def test_every_line_of_a_step_names_job_attempt_and_provider(scene: Scene) -> None:
    scene.rule("generation", outcome="failed")
    scene.submitted()
    scene.finish()
    logger, out = logging.getLogger("worker.steps"), io.StringIO()
    handler = logging.StreamHandler(out)
    logger.addHandler(handler)
    configure(logger, "json")

    batch.take(Step.POLL, [JOB], scene.services)
    logger.removeHandler(handler)

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert "generation.failed" in [line["event"] for line in lines]
    assert {(line["job_id"], line["attempt"], line["provider"]) for line in lines} == {(JOB, 1, scene.job().provider)}
