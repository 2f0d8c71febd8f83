"""Redis comes back as an older self: what may have been sent is never sent again, what is new goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.steps.conftest import HOUR, MINUTE, Scene, killed
from worker.errors import BucketError
from worker.jobs.states import JobState
from worker.operations import cancel
from worker.services import Services
from worker.steps import Step, rollback_guard, submit
from worker.store import Store

S = JobState
Rollback = Callable[[], None]


def snapshot(scene: Scene) -> Rollback:
    """Redis as it is now, to be made so again: a replica that has lagged since, or a backup."""
    client = scene.store._client
    raw = client.connection_pool.connection_kwargs | {"decode_responses": False}
    binary = type(client)(**{name: raw[name] for name in ("host", "port", "db", "password", "username") if name in raw})
    kept: dict[Any, Any] = {key: binary.dump(key) for key in binary.keys("*")}

    def roll_back() -> None:
        binary.flushdb()
        for key, value in kept.items():
            binary.restore(key, 0, value)
        binary.close()

    return roll_back


def another_process(scene: Scene) -> Services:
    """A worker that has just started: it remembers nothing."""
    like = scene.store
    store = Store(like._client, retention_ms=like._retention_ms, clock=like._clock, monotonic=like._monotonic)
    return scene.but(store=store)


def test_a_job_that_was_sent_is_not_sent_again_after_a_failover(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()
    assert scene.job().state is S.ACCEPTED

    scene.run(Step.SUBMIT)

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)
    assert scene.counter("jobs_rolled_back") == 1


def test_a_worker_that_knows_of_nothing_asks_the_bucket_before_it_sends(scene: Scene) -> None:
    scene.submitted("gmicloud", "job-0")
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()

    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts("job-1")) == (S.UNCONFIRMED, 1)
    assert scene.counter("jobs_rolled_back") == 1


def test_a_job_whose_record_was_lost_with_it_is_not_paid_again_when_it_is_sent_again(scene: Scene) -> None:
    roll_back = snapshot(scene)
    scene.submitted("gmicloud")
    roll_back()
    scene.sweep()
    scene.advance(MINUTE)
    assert scene.store.get("job-1") is None

    scene.accepted("gmicloud")
    scene.finish()
    job = scene.follow()

    assert (job.state, scene.posts()) == (S.ARCHIVED, 1)
    assert "the bucket knows of a POST that Redis has lost" in [move.detail for move in scene.store.timeline("job-1")]


def test_a_redis_that_is_empty_pays_for_nothing_twice(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.store._client.flushdb()

    scene.accepted("evolink")
    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_job_that_was_sent_is_not_told_as_cancelled(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()

    reply = cancel.run("job-1", scene.services)

    assert (reply.word, scene.job().state) == ("late", S.UNCONFIRMED)


def test_a_job_that_was_sent_is_not_told_as_never_taken_when_its_time_is_over(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()

    scene.advance(7 * HOUR)
    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_try_that_no_provider_took_is_followed_by_another(scene: Scene) -> None:
    scene.accepted("gmicloud")
    scene.rule("submit", status=503, retry_after=1)
    submit.run("job-1", scene.services)
    assert scene.job().state is S.ACCEPTED

    scene.advance(MINUTE)
    submit.run("job-1", scene.services)

    assert (scene.job().state, scene.posts()) == (S.SUBMITTED, 2)


def test_a_request_taken_for_a_job_whose_record_was_lost_meanwhile_is_counted(scene: Scene) -> None:
    roll_back = snapshot(scene)
    scene.accepted("gmicloud")
    services = scene.but(store=scene.with_store(before={"bind": roll_back}))

    submit.run("job-1", services)

    assert scene.store.get("job-1") is None
    assert scene.counter("requests_orphaned") == 1


def test_the_request_that_was_made_is_found_again_by_the_provider_s_list(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
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

    submit.run("job-1", services)

    assert (scene.job().state, scene.posts()) == (S.SUBMITTED, 1)


def test_the_sweep_notices_so_that_a_worker_without_memory_sends_nothing(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()

    scene.sweep()
    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)
    assert scene.counter("intents_lost") == 1


def test_a_worker_that_was_killed_in_the_post_is_remembered_by_the_others(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    with pytest.raises(KeyboardInterrupt):
        submit.run("job-1", scene.meddled("gmicloud", after_submit=killed))
    scene.sweep()
    roll_back()

    submit.run("job-1", scene.services)

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_a_backup_is_noticed_even_when_every_process_has_been_started_anew(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    scene.advance(HOUR)
    roll_back()

    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.UNCONFIRMED, 1)


def test_what_is_accepted_after_the_loss_was_noticed_is_sent(scene: Scene) -> None:
    scene.accepted("gmicloud", "job-0")
    roll_back = snapshot(scene)
    submit.run("job-0", scene.services)
    roll_back()
    scene.sweep()
    scene.advance(1)

    job = scene.submitted("gmicloud", "job-1")

    assert (job.state, scene.posts()) == (S.SUBMITTED, 1)


def test_a_redis_that_lost_nothing_holds_nobody_up(scene: Scene) -> None:
    scene.submitted("gmicloud", "job-0")
    scene.accepted("gmicloud")
    snapshot(scene)()
    scene.sweep()

    submit.run("job-1", another_process(scene))

    assert scene.job().state is S.SUBMITTED
    assert scene.store.last_loss() is None


def test_a_loss_is_noticed_once_not_by_everybody_anew(scene: Scene) -> None:
    scene.accepted("gmicloud")
    roll_back = snapshot(scene)
    submit.run("job-1", scene.services)
    roll_back()

    scene.sweep()
    scene.sweep()
    rollback_guard.compare(another_process(scene))

    loss = scene.store.last_loss()
    assert loss is not None
    assert loss.count == 1


def test_intents_are_numbered_and_the_bucket_is_told_now_and_then(scene: Scene) -> None:
    for n in range(3):
        scene.submitted("gmicloud", f"job-{n}")
    first = scene.services.bucket.read_intents()
    scene.advance(11)
    scene.submitted("gmicloud", "job-3")

    assert [scene.job(f"job-{n}").intent_no for n in range(4)] == [1, 2, 3, 4]
    assert (first, scene.services.bucket.read_intents()) == ({0: 1}, {0: 4})


def test_nothing_is_sent_while_the_bucket_cannot_tell_how_many_were(scene: Scene) -> None:
    scene.accepted("gmicloud")
    bucket = scene.services.bucket
    bucket._client.put_object(Bucket=bucket.name, Key="callsheet/.callsheet/intents.json", Body=b"not json")

    submit.run("job-1", another_process(scene))

    assert (scene.job().state, scene.posts()) == (S.ACCEPTED, 0)
    assert "the bucket to tell how many POSTs were begun" in scene.job().waiting_for
    with pytest.raises(BucketError):
        bucket.read_intents()
