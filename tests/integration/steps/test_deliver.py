"""Settle: what a final job owes is paid from its record, and marked only while that still is the record."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

import pytest

from tests.integration.steps.buckets import without_s3
from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE, Scene
from tests.integration.steps.meddling import failing, killed, once
from worker.bucket.manifests import Manifests
from worker.jobs.job import JobError
from worker.jobs.manifest import manifest_of
from worker.jobs.states import JobState
from worker.operations import cancel
from worker.steps import Step

S = JobState


def manifest(scene: Scene) -> Any:
    """`job.json` as it stands in the bucket."""
    [text] = [content for name, content in scene.objects().items() if name.endswith("/job.json")]
    return json.loads(text)


def learn_more(scene: Scene) -> None:
    """A fact that comes late: the bill."""
    scene.store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", facts={"usage": '{"cost": "0.5"}'})


def test_an_archived_job_is_told_its_manifest_written_and_then_it_is_closed(scene: Scene) -> None:
    scene.archived("evolink")

    next_step = scene.run(Step.DELIVER)

    job = scene.job()
    assert next_step is None
    assert scene.told.told_jobs[0].videos == job.videos
    assert (job.told_ver, job.manifest_ver, job.closed_at) == (job.ver, job.ver, scene.clock.now_ms)
    assert manifest(scene) == json.loads(json.dumps(manifest_of(job, scene.store.history.spec_json(job.id))))


def test_the_end_of_a_job_without_a_video_is_a_warning_that_says_why(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.accepted()
    scene.store.jobs.move(
        JOB, S.FAILED, attempt=1, path="submit", error=JobError("submit", "moderated", "it was refused")
    )

    scene.follow(JOB)

    [record] = [record for record in caplog.records if record.getMessage() == "job.delivered"]
    assert record.levelname == "WARNING"
    told = {name: vars(record)[name] for name in ("job_id", "state", "stage", "code", "reason")}
    assert told == {
        "job_id": JOB,
        "state": S.FAILED,
        "stage": "submit",
        "code": "moderated",
        "reason": "it was refused",
    }


def test_the_manifest_rebuilds_the_record(scene: Scene) -> None:
    scene.archived("evolink", metadata={"order": 7})

    scene.run(Step.DELIVER)

    job, written = scene.job(), manifest(scene)
    assert written["request_ids"] == {"1": job.request_id}
    assert written["spec_sha256"] == job.spec_sha256
    assert written["videos"][0]["sha256"] == job.videos[0].sha256
    assert written["metadata"] == {"order": 7}
    assert "corgi" not in json.dumps(written)


def test_a_second_message_tells_nobody_twice(scene: Scene) -> None:
    scene.archived()

    for _ in range(3):
        scene.run(Step.DELIVER)

    assert scene.told.states == ["archived"]


def test_a_result_that_nobody_takes_stays_owed(scene: Scene) -> None:
    scene.archived()
    scene.told.is_down = True

    scene.run(Step.DELIVER)

    assert scene.job().told_ver == 0
    assert scene.job().waiting_for == "what is owed to be taken: the result backend is down"
    assert 0 < scene.due_in() < 5
    scene.told.is_down = False
    scene.look_when_due()
    assert scene.job().closed_at is not None


def test_a_manifest_does_not_wait_for_a_result_that_nobody_takes(scene: Scene) -> None:
    scene.archived()
    scene.told.is_down = True

    scene.run(Step.DELIVER)

    assert (scene.job().told_ver, scene.job().manifest_ver) == (0, scene.job().ver)
    assert scene.job().is_open


def test_an_owed_result_is_tried_less_and_less_often_but_always_again(scene: Scene) -> None:
    scene.archived()
    scene.told.is_down = True
    waits = []
    for _ in range(12):
        scene.look_when_due()
        waits.append(scene.due_in())

    assert waits[0] < 5
    assert 200 < waits[-1] < 331


def test_a_manifest_that_s3_does_not_take_stays_owed_while_the_caller_is_told(scene: Scene) -> None:
    scene.archived()

    scene.run(Step.DELIVER, services=without_s3(scene))

    assert scene.told.states == ["archived"]
    assert scene.job().is_open
    scene.look_when_due()
    assert scene.job().closed_at is not None
    assert scene.told.states == ["archived"], "told once"
    assert manifest(scene)["state"] == "archived"


def test_a_kill_after_telling_tells_again_rather_than_never(scene: Scene) -> None:
    scene.archived()
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.DELIVER, services=scene.but(store=scene.with_store(before={"jobs.delivered": killed})))

    scene.look_when_due()

    assert scene.told.states == ["archived", "archived"]
    assert scene.told.told_jobs[0].ver == scene.told.told_jobs[1].ver
    assert scene.job().closed_at is not None


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_redis_that_is_away_for_the_mark_leaves_nothing_owed_for_ever(scene: Scene, lost: str) -> None:
    scene.archived()
    flaky = scene.with_store(**{lost: {"jobs.delivered": failing()}})
    with pytest.raises(Exception, match="Redis is away"):
        scene.run(Step.DELIVER, services=scene.but(store=flaky))

    scene.advance(MINUTE)
    scene.look()

    assert scene.job().closed_at is not None
    assert manifest(scene)["ver"] == scene.job().ver


def test_told_is_marked_only_if_the_record_has_not_moved_on_meanwhile(scene: Scene) -> None:
    scene.archived("gmicloud")
    scene.told.before_telling = once(lambda: learn_more(scene))

    scene.run(Step.DELIVER)

    assert scene.told.told_jobs[0].usage == {}
    assert scene.job().told_ver == 0
    assert scene.job().manifest_ver == 0, "what was written of an old record does not count"
    assert scene.job().is_open
    scene.look_when_due()
    assert scene.told.told_jobs[-1].usage == {"cost": "0.5"}
    assert manifest(scene)["cost"]["usage"] == {"cost": "0.5"}
    assert scene.job().closed_at is not None


def test_a_fact_that_comes_after_the_job_closed_is_told_and_written_anew(scene: Scene) -> None:
    scene.archived("apimart")
    scene.run(Step.DELIVER)

    learn_more(scene)

    assert scene.is_due()
    scene.run(Step.DELIVER)
    assert scene.told.told_jobs[-1].usage == {"cost": "0.5"}
    assert manifest(scene)["cost"]["usage"] == {"cost": "0.5"}
    assert scene.job().closed_at is not None


def test_nothing_is_copied_while_results_are_handed_out(scene: Scene) -> None:
    """A message that comes for a job with nothing pending sends it on, and leaves it due."""
    scene.archive_failed("apimart")
    scene.rule("generation", seconds=0)
    scene.advance(HOUR)
    gets, downloads = scene.gets(), len(scene.downloads())

    assert scene.run(Step.DELIVER) is Step.REVISIT

    assert (scene.gets(), len(scene.downloads())) == (gets, downloads)
    assert scene.is_due()


def test_a_manifest_of_an_older_version_written_last_is_written_again(scene: Scene) -> None:
    """A paused worker puts its manifest over that of the one who took over."""
    scene.archived("apimart")

    def another_settles_more() -> None:
        learn_more(scene)
        scene.advance(31)
        scene.run(Step.DELIVER)

    class PausedManifests(Manifests):
        def put(self, *args: Any) -> None:
            another_settles_more()
            super().put(*args)

    bucket = copy(scene.services.bucket)
    bucket.manifests = PausedManifests(bucket.objects)
    scene.run(Step.DELIVER, services=scene.but(bucket=bucket))

    assert scene.is_due()
    scene.follow()
    assert manifest(scene)["ver"] == scene.job().ver
    assert manifest(scene)["cost"]["usage"] == {"cost": "0.5"}


def test_a_failed_job_owes_a_result_and_no_manifest(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted()
    scene.follow()

    assert scene.told.states == ["failed"]
    assert isinstance(scene.job().error, JobError)
    assert scene.objects() == {}
    assert scene.job().closed_at is not None


def test_a_cancelled_job_is_told_and_closed(scene: Scene) -> None:
    scene.accepted()
    cancel.run(JOB, scene.services)

    scene.run(Step.DELIVER)

    assert scene.told.states == ["cancelled"]
    assert scene.job().closed_at is not None


def test_a_job_that_may_yet_get_a_video_is_told_but_not_closed(scene: Scene) -> None:
    scene.expired()

    assert scene.job().told_ver == scene.job().ver
    assert scene.job().closed_at is None
    assert scene.due_in() == HOUR


def test_a_closed_jobs_id_answers_as_long_as_its_tombstone(scene: Scene) -> None:
    scene.archived()
    scene.run(Step.DELIVER)

    tombstone = scene.store.scripts.keys.of(JOB)[6]

    assert 119 * DAY * 1000 < int(scene.store.scripts.client.pttl(tombstone)) <= 120 * DAY * 1000


def test_a_message_for_a_job_that_is_not_final_does_nothing(scene: Scene) -> None:
    scene.submitted()

    assert scene.run(Step.DELIVER) is None
    assert scene.told.states == []


def test_two_settlers_at_once_tell_once(scene: Scene) -> None:
    scene.archived()
    scene.told.before_telling = once(lambda: scene.run(Step.DELIVER))

    scene.run(Step.DELIVER)

    assert scene.told.states == ["archived"]
