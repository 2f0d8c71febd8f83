"""Restore: what the bucket's manifests bring back into an empty Redis, and what they never touch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.steps.conftest import Scene
from tests.integration.steps.rollbacks import snapshot
from worker.jobs.job import Difference, IgnoredLink, Job, JobError, rows_json
from worker.jobs.result import result_of
from worker.jobs.states import JobState
from worker.operations import restore, retry
from worker.operations.restore import Outcome
from worker.steps import Step, accept

S = JobState


def archived(scene: Scene, provider: str = "gmicloud", job_id: str = "job-1", **fields: object) -> Job:
    scene.archived(provider, job_id, **fields)
    scene.follow(job_id)
    job = scene.job(job_id)
    assert not job.is_open
    return job


def forget(scene: Scene) -> None:
    """Redis loses everything, which the sweep notices."""
    scene.store.scripts.client.flushall()
    scene.sweep()
    scene.advance(1)


def restored(scene: Scene, *, apply: bool = True) -> list[Outcome]:
    return list(restore.run(scene.services, apply=apply))


@pytest.mark.parametrize("provider", ["gmicloud", "evolink", "apimart"])
def test_a_lost_record_comes_back_as_it_was(scene: Scene, provider: str) -> None:
    before = archived(scene, provider, metadata={"order": "1007"})
    result = result_of(before, scene.store.history.spec_json(before.id))
    forget(scene)

    outcomes = restored(scene)

    after = scene.job()
    assert outcomes == [Outcome("job-1", "restored")]
    assert result_of(after, scene.store.history.spec_json(after.id)) == result
    assert (after.state, after.is_open, after.is_tombstone) == (S.ARCHIVED, False, False)
    assert (after.ver, after.spec_sha256, after.accepted_at) == (before.ver, before.spec_sha256, before.accepted_at)
    assert after.request_ids == before.request_ids
    assert after.told_ver == before.ver
    assert scene.moves() == ["archived"]


def test_what_was_ignored_and_what_differs_come_back_too(scene: Scene) -> None:
    scene.generated("gmicloud")
    ignored, differs = IgnoredLink(2, "picture", "a PNG image"), Difference("seconds", 9, 3.0)
    scene.run(Step.ARCHIVE)
    scene.store.jobs.move(
        "job-1",
        S.ARCHIVED,
        attempt=1,
        path="poll",
        facts={"ignored": rows_json([ignored]), "differs": rows_json([differs])},
    )
    scene.follow("job-1")
    forget(scene)

    restored(scene)

    assert (scene.job().ignored, scene.job().differs) == ((ignored,), (differs,))


def test_the_same_id_sent_again_pays_nothing_and_another_spec_is_refused(scene: Scene) -> None:
    archived(scene)
    forget(scene)
    restored(scene)

    reply = accept.run("job-1", scene.spec("gmicloud"), scene.services)

    assert reply.word == "repeat"
    assert scene.posts() == 1


def test_a_restored_request_belongs_to_its_job(scene: Scene) -> None:
    request_id = archived(scene).request_id or ""
    forget(scene)
    restored(scene)
    scene.submitted("gmicloud", "job-2")

    reply = scene.store.attempts.bind("job-2", attempt=1, provider="gmicloud", request_id=request_id, path="poll")

    assert reply.word == "taken"


def test_a_restored_job_dies_like_any_closed_one(scene: Scene) -> None:
    archived(scene)
    forget(scene)
    restored(scene)

    client = scene.store.scripts.client
    assert all(client.pttl(key) > 0 for key in client.scan_iter("*job-1"))
    assert client.exists("callsheet:{0}:tombstone:job-1")


def test_without_leave_nothing_is_written(scene: Scene) -> None:
    archived(scene)
    forget(scene)

    assert restored(scene, apply=False) == [Outcome("job-1", "restored")]
    assert scene.store.jobs.get("job-1") is None


def test_what_redis_knows_is_never_changed(scene: Scene) -> None:
    archived(scene, "evolink", "job-2")
    roll_back = snapshot(scene)
    archived(scene)
    roll_back()
    before = scene.store.scripts.client.hgetall("callsheet:{0}:job:job-2")

    outcomes = restored(scene)

    assert [(outcome.job_id, outcome.word) for outcome in outcomes] == [("job-1", "restored"), ("job-2", "known")]
    assert scene.store.scripts.client.hgetall("callsheet:{0}:job:job-2") == before


def sent_again(scene: Scene, state: JobState, **changes: Any) -> Job:
    """A job that was archived, forgotten by Redis, sent again under its id, and stands in *state* now."""
    archived(scene)
    forget(scene)
    scene.accepted(**changes)
    if state is not S.ACCEPTED:
        claim = scene.store.due.claim("job-1", states=(S.ACCEPTED,), lease_ms=60_000)
        assert claim is not None
        assert scene.store.attempts.begin(claim).applied
        scene.store.jobs.move("job-1", S.UNCONFIRMED, attempt=1, path="submit")
    if state is S.FAILED:
        error = JobError("confirm", "outcome_unknown", "nobody told")
        scene.store.jobs.move("job-1", S.FAILED, attempt=1, path="sweep", error=error)
    assert scene.job().state is state
    return scene.job()


@pytest.mark.parametrize("state", [S.ACCEPTED, S.UNCONFIRMED, S.FAILED])
def test_the_bucket_wins_over_a_job_that_was_sent_again_first(scene: Scene, state: JobState) -> None:
    sent_again(scene, state)

    assert restored(scene, apply=False) == [Outcome("job-1", "restored")]
    assert scene.job().state is state
    assert restored(scene) == [Outcome("job-1", "restored")]

    job = scene.follow("job-1")
    assert (job.state, job.is_open, job.error) == (S.ARCHIVED, False, None)
    assert len(job.videos) == 1
    assert job.request_id is not None
    assert scene.posts() == 1
    assert scene.told.states[-1] == "archived"


def test_an_unconfirmed_job_is_ended_by_what_the_bucket_has_before_anybody_is_asked(scene: Scene) -> None:
    sent_again(scene, S.UNCONFIRMED)

    job = scene.follow("job-1", Step.POLL)

    assert (job.state, job.is_open) == (S.ARCHIVED, False)
    assert scene.posts() == 1


def test_a_manifest_of_another_spec_ends_no_job(scene: Scene) -> None:
    sent_again(scene, S.UNCONFIRMED, prompt="something else")

    assert restored(scene) == [Outcome("job-1", "known")]
    assert scene.job().state is S.UNCONFIRMED


def test_a_request_that_was_recovered_and_has_its_video_in_the_bucket_is_ended_by_it(scene: Scene) -> None:
    archived(scene)
    forget(scene)
    scene.accepted()
    scene.run(Step.SUBMIT)
    assert scene.job().state is S.SUBMITTED

    assert restored(scene) == [Outcome("job-1", "restored")]

    assert scene.follow("job-1").state is S.ARCHIVED
    assert scene.posts() == 1


def test_a_job_whose_new_request_runs_is_left_to_it(scene: Scene) -> None:
    archived(scene)
    forget(scene)
    scene.store.jobs.accept("job-1", spec_json="{}", spec_sha256="0" * 64, provider="gmicloud", model="m", request=None)
    scene.store.attempts.bind("job-1", attempt=1, provider="gmicloud", request_id="r-2", path="submit")

    assert restored(scene) == [Outcome("job-1", "known")]
    assert scene.job().state is S.SUBMITTED


def test_a_tombstone_is_known(scene: Scene) -> None:
    archived(scene)
    scene.store.scripts.client.delete("callsheet:{0}:job:job-1")

    assert restored(scene) == [Outcome("job-1", "known")]


def test_restoring_twice_is_restoring_once(scene: Scene) -> None:
    archived(scene)
    forget(scene)

    words = [restored(scene)[0].word, restored(scene)[0].word]

    assert words == ["restored", "known"]


def test_a_job_whose_request_is_another_ones_is_not_restored(scene: Scene) -> None:
    request_id = archived(scene).request_id or ""
    forget(scene)
    scene.store.scripts.client.set(f"callsheet:{{0}}:request:gmicloud:{request_id}", "job-9")

    (outcome,) = restored(scene)

    assert outcome.word == "conflict"
    assert scene.store.jobs.get("job-1") is None


@pytest.mark.parametrize(
    "damage",
    [
        {"job_id": "another"},
        {"state": "failed"},
        {"videos": []},
        {"videos": [{"uri": "x"}]},
        {"manifest_version": 99},
        {"request_ids": {"one": "r"}},
        {"spec_sha256": 7},
        {"provider": "a\nb"},
        {"ver": "x"},
        {"videos": [{"uri": {}, "bytes": 1, "sha256": "", "seconds": 1, "width": 1, "height": 1}]},
    ],
)
def test_a_damaged_manifest_is_named_and_the_others_go_on(scene: Scene, damage: dict[str, object]) -> None:
    archived(scene)
    archived(scene, "evolink", "job-2")
    key = scene.services.bucket.videos.key("job-1", 1, 1, scene.job().accepted_at).replace("1-1.mp4", "job.json")
    manifest = json.loads(scene.services.bucket.manifests.read(key))
    forget(scene)
    scene.put_foreign(key, json.dumps({**manifest, **damage}).encode())

    outcomes = {outcome.job_id: outcome.word for outcome in restored(scene)}

    assert outcomes == {"job-1": "unreadable", "job-2": "restored"}


@pytest.mark.parametrize("text", [b"", b"not json", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_unreadable(scene: Scene, text: bytes) -> None:
    scene.put_foreign("callsheet/2026/11/20/job-1/job.json", text)

    (outcome,) = restored(scene)

    assert outcome.word == "unreadable"
    assert "the manifest of job-1 cannot be read" in outcome.reason


def test_objects_that_are_no_manifests_are_passed_over(scene: Scene) -> None:
    for key in ("callsheet/job.json", "callsheet/2026/11/20/a b/job.json", "elsewhere/2026/11/20/job-1/job.json"):
        scene.put_foreign(key, b"{}")

    assert restored(scene) == []


def test_the_attempt_whose_video_it_is_comes_back_too(scene: Scene) -> None:
    scene.outcome_unknown("evolink")
    scene.rule("generation", outcome="failed", code="nsfw", message="no")
    retry.run("job-1", scene.services, pay_again=True)
    scene.follow()
    scene.deliver(request_id=scene.created()[0], attempt=1)
    scene.finish()
    scene.look_when_due()
    scene.look()
    scene.look_when_due()
    before = scene.follow()
    forget(scene)

    restored(scene)

    after = scene.job()
    assert (after.attempt, after.videos_attempt, after.request_ids) == (2, 1, before.request_ids)
