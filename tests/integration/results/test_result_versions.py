"""The told result: written from the record with its version, so no late write takes it backwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from deploy.local.ports import free_port
from tests.integration.results.conftest import JOB, Studio
from worker.errors import JobFailed, ResultError
from worker.jobs.states import JobState
from worker.store import Store

S = JobState


def entry(studio: Studio, job_id: str = JOB) -> Any:
    """The backend's entry, as it is."""
    backend: Any = studio.app.backend
    return json.loads(backend.client.get(backend.get_key_for_task(job_id)))


def waiting(studio: Studio) -> tuple[threading.Thread, list[Any]]:
    """A caller that waits for the job with `get()`, subscribed before anything is told."""
    got: list[Any] = []
    result = studio.result()
    studio.app.backend.result_consumer.start(JOB)  # type: ignore[attr-defined]

    def wait() -> None:
        try:
            got.append(result.get(timeout=10))
        except Exception as err:  # noqa: BLE001  whatever the caller is raised is what the test is about
            got.append(err)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, got


def test_an_open_job_is_started_with_its_progress(studio: Studio) -> None:
    job = studio.submitted()

    studio.results.started(job)

    assert studio.result().state == "STARTED"
    assert studio.result().info == {"state": "submitted", "progress": 0, "provider": "gmicloud"}
    assert entry(studio)["callsheet_ver"] == job.ver


def test_the_caller_gets_the_result_of_an_archived_job(studio: Studio) -> None:
    studio.archived()

    studio.tell()

    result = studio.result().get(timeout=5)
    assert (result["job_id"], result["state"], result["metadata"]) == (JOB, "archived", {"order": 7})
    assert result["videos"][0]["sha256"] == "ab" * 32
    assert studio.result().date_done is not None


def test_a_caller_that_waits_is_woken_by_the_write(studio: Studio) -> None:
    job = studio.submitted()
    studio.results.started(job)
    thread, got = waiting(studio)

    studio.archived()
    studio.tell()
    thread.join(10)

    assert got[0]["state"] == "archived"


def test_the_caller_of_a_failed_job_is_raised_our_own_error(studio: Studio) -> None:
    studio.failed()

    studio.tell()

    with pytest.raises(JobFailed) as caught:
        studio.result().get(timeout=5)
    assert caught.value.args == ("refused", "the provider said no", "submit")
    assert str(caught.value) == "submit failed (refused): the provider said no"
    assert studio.result().traceback is None


def test_the_caller_of_an_expired_job_is_raised_the_same_error(studio: Studio) -> None:
    studio.submitted()
    studio.store.jobs.move(JOB, S.EXPIRED, attempt=1, path="sweep")

    studio.tell()

    with pytest.raises(JobFailed, match="expired"):
        studio.result().get(timeout=5)


def test_the_caller_of_a_cancelled_job_is_raised_celerys_own_error(studio: Studio) -> None:
    studio.cancelled()

    studio.tell()

    assert str(studio.result().state) == "REVOKED"
    with pytest.raises(TaskRevokedError):
        studio.result().get(timeout=5)


def test_a_late_progress_does_not_replace_the_result(studio: Studio) -> None:
    open_job = studio.submitted()
    studio.archived()
    studio.tell()

    studio.results.started(open_job)

    assert studio.result().state == "SUCCESS"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_late_progress_does_not_replace_a_failure_which_celery_itself_would_allow(studio: Studio, end: str) -> None:
    open_job = studio.accepted()
    if end == "failed":
        studio.failed()
    else:
        studio.store.jobs.move(JOB, S.CANCELLED, attempt=1, path="operator")
    studio.tell()
    told = entry(studio)

    studio.results.started(open_job)

    assert entry(studio) == told


def test_a_progress_told_late_does_not_replace_a_newer_one(studio: Studio) -> None:
    accepted = studio.accepted()
    bound = studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r", path="submit")
    studio.results.started(studio._moved(bound))

    studio.results.started(accepted)

    assert studio.result().info["state"] == "submitted"


def test_a_write_that_is_delivered_again_changes_nothing(studio: Studio) -> None:
    studio.archived()
    studio.tell()
    told = entry(studio)

    studio.tell()

    assert entry(studio) == told


def test_a_job_that_failed_succeeds_when_its_video_comes_late(studio: Studio) -> None:
    studio.outcome_unknown()
    studio.tell()
    assert studio.result().state == "FAILURE"
    revived = studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r", path="poll").job
    assert revived is not None
    studio.results.started(revived)
    state_meanwhile = studio.result().state

    studio.archived()
    studio.tell()

    assert state_meanwhile == "STARTED"
    assert studio.result().get(timeout=5)["state"] == "archived"


def test_an_old_failure_told_late_does_not_replace_the_success(studio: Studio) -> None:
    """A settler that was paused since the job had failed wakes up when its video has been archived and told."""
    old = studio.outcome_unknown()
    studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r", path="poll")
    studio.archived()
    studio.tell()

    studio.results.tell(old)

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_an_old_cancel_told_late_replaces_nothing_newer(studio: Studio) -> None:
    old = studio.cancelled()
    studio.store.attempts.try_again(JOB, attempt=1, pay_again=False)
    newer = studio.job()
    studio.results.started(newer)

    studio.results.tell(old)

    assert studio.result().state == "STARTED"


def snapshot(store: Store) -> Callable[[], None]:
    """The records as they are now; a call makes them so again. Results stand apart and stay."""
    client: Any = store.scripts.client
    held = {key: client.execute_command("DUMP", key, NEVER_DECODE=True) for key in client.keys("callsheet:*")}

    def roll_back() -> None:
        lose(store)
        for key, value in held.items():
            client.restore(key, 0, value)

    return roll_back


def lose(store: Store) -> None:
    client: Any = store.scripts.client
    client.delete(*client.keys("callsheet:*"))


def told_often(studio: Studio) -> None:
    """A request in progress whose every step was told: its version is far above that of any short way to the end."""
    for progress in range(10, 100, 10):
        claim = studio.store.due.claim(JOB, states=(S.SUBMITTED,), lease_ms=1000)
        assert claim is not None
        job = studio.store.due.rest(claim, due_in_ms=0, facts={"progress": str(progress)}).job
        assert job is not None
        studio.results.started(job)


def later(studio: Studio, clock_ms: int = 60_000) -> None:
    studio.clock.advance(clock_ms)


def test_a_job_made_after_a_rollback_is_told_though_more_was_told_before(studio: Studio) -> None:
    studio.accepted()
    roll_back = snapshot(studio.store)
    studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r-job-1", path="submit")
    told_often(studio)
    roll_back()
    later(studio)

    studio.archived()
    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_a_record_lost_whole_and_sent_again_is_told(studio: Studio) -> None:
    studio.submitted()
    told_often(studio)
    lose(studio.store)
    later(studio)

    studio.archived()
    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_a_failure_told_before_a_rollback_gives_way_to_the_video(studio: Studio) -> None:
    studio.submitted()
    roll_back = snapshot(studio.store)
    told_often(studio)
    studio.store.jobs.move(JOB, S.EXPIRED, attempt=1, path="sweep")
    studio.tell()
    assert studio.result().state == "FAILURE"
    roll_back()
    later(studio)

    studio.archived()
    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_a_callback_of_the_callers_is_sent_after_a_rollback_too(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    roll_back = snapshot(studio.store)
    studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r-job-1", path="submit")
    told_often(studio)
    roll_back()
    later(studio)

    studio.archived()
    studio.tell()

    assert [message["headers"]["task"] for message in studio.sent()] == ["studio.after"]


def test_a_result_told_while_the_servers_clock_was_ahead_is_followed_by_the_next(studio: Studio) -> None:
    later(studio, 12 * 3600 * 1000)
    job = studio.submitted()
    studio.results.started(job)
    later(studio, -12 * 3600 * 1000)

    studio.archived()
    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_two_threads_that_tell_different_versions_leave_the_newer_one(studio: Studio) -> None:
    versions = [studio.accepted()]
    for progress in range(1, 30):
        claim = studio.store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=1000)
        assert claim is not None
        job = studio.store.due.rest(claim, due_in_ms=0, facts={"progress": str(progress)}).job
        assert job is not None
        versions.append(job)
    together = threading.Barrier(2)

    def write(jobs: list[Any]) -> None:
        together.wait()
        for job in jobs:
            studio.results.started(job)

    threads = [threading.Thread(target=write, args=(jobs,)) for jobs in (versions, versions[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert studio.result().info["progress"] == 29


def test_a_result_lives_as_long_as_the_record_from_its_last_write(studio: Studio) -> None:
    backend: Any = studio.app.backend
    studio.archived()

    studio.tell()

    assert 30 * 24 * 3600 - 60 < backend.client.ttl(backend.get_key_for_task(JOB)) <= 30 * 24 * 3600


def test_a_result_that_has_expired_can_be_told_again(studio: Studio) -> None:
    backend: Any = studio.app.backend
    studio.archived()
    studio.tell()
    backend.client.delete(backend.get_key_for_task(JOB))

    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


@pytest.mark.parametrize(
    "held", ["no JSON", "[1]", '{"callsheet_ver": null}', '{"callsheet_ver": 99}', '{"status": "PENDING"}', "7"]
)
def test_whatever_stands_in_the_way_is_replaced(studio: Studio, held: str) -> None:
    backend: Any = studio.app.backend
    studio.archived()
    backend.client.set(backend.get_key_for_task(JOB), held)

    studio.tell()

    assert studio.result().get(timeout=5)["state"] == "archived"


def test_a_job_that_no_message_ever_named_is_told_all_the_same(studio: Studio) -> None:
    """Recorded by the client, its nudge lost."""
    studio.archived()
    assert studio.store.history.requests(JOB) == []

    studio.tell()

    assert studio.result().get(timeout=5)["job_id"] == JOB


def test_a_backend_that_is_away_leaves_the_result_owed(make_studio: Callable[..., Studio], studio: Studio) -> None:
    deaf = make_studio(f"redis://127.0.0.1:{free_port()}/0")
    job = studio.archived()

    with pytest.raises(ResultError, match="the result of job job-1 was not taken"):
        deaf.results.tell(job)


def test_progress_that_cannot_be_told_stops_nothing(make_studio: Callable[..., Studio], studio: Studio) -> None:
    deaf = make_studio(f"redis://127.0.0.1:{free_port()}/0")

    deaf.results.started(studio.submitted())


def test_flower_being_away_stops_nothing(make_studio: Callable[..., Studio], redis_url: str) -> None:
    mute = make_studio(redis_url, f"redis://127.0.0.1:{free_port()}/0")
    mute.archived()

    mute.tell()

    assert mute.result().state == "SUCCESS"


def test_neither_prompt_nor_link_is_in_the_result_or_what_is_kept_of_the_request(studio: Studio) -> None:
    studio.generate().apply_async(kwargs={"model": "kling", "prompt": "a secret corgi"})
    studio.accepted()
    studio.arrive()
    studio.archived()
    studio.tell()

    assert "secret corgi" not in json.dumps(entry(studio)) + "".join(studio.store.history.requests(JOB))
    assert "cdn.example.com" not in json.dumps(entry(studio))


def test_a_neighbours_result_of_a_job_of_the_same_id_is_not_given_for_ours(
    make_studio: Callable[..., Studio], redis_url: str
) -> None:
    """Two installations on one Redis by database number: channels know no databases, and job ids are the users'."""
    ours, theirs = make_studio(redis_url), make_studio(redis_url.rpartition("/")[0] + "/7")
    for studio, prefix in ((ours, "ours:"), (theirs, "theirs:")):
        options = studio.app.conf.result_backend_transport_options
        studio.app.conf.result_backend_transport_options = {**options, "global_keyprefix": prefix}
    thread, got = waiting(ours)
    job = ours.archived()

    theirs.results.tell(replace(job, provider="theirs"))
    ours.results.tell(job)
    thread.join(10)

    assert [result["provider"] for result in got] == ["gmicloud"]
    theirs.app.backend.client.flushdb()  # type: ignore[attr-defined]


def test_what_callers_were_told_is_read_with_its_age(studio: Studio) -> None:
    studio.results.started(studio.accepted("job-1"))
    failed = studio.failed("job-2")
    studio.tell("job-2")
    studio.accepted("job-3")

    told = studio.results.told(["job-1", "job-2", "job-3", "no-such-job"])

    assert told.keys() == {"job-1", "job-2"}
    assert (told["job-1"].is_final, told["job-2"].is_final) == (False, True)
    assert (told["job-2"].state_at, told["job-2"].ver) == (failed.state_at, failed.ver)
    assert studio.results.told([]) == {}


def test_results_that_cannot_be_read_are_an_error_of_ours(make_studio: Callable[..., Studio]) -> None:
    with pytest.raises(ResultError, match="cannot be read"):
        make_studio("redis://127.0.0.1:9/0").results.told(["job-1"])


def test_a_caller_who_was_told_of_a_retry_that_redis_lost_hears_how_the_job_ended(studio: Studio, store: Store) -> None:
    studio.failed()
    studio.tell()
    before: Any = store.scripts.client.dump(store.scripts.keys.record(JOB))
    store.attempts.try_again(JOB, attempt=1, pay_again=True)
    studio.results.started(studio.job())
    store.scripts.client.restore(store.scripts.keys.record(JOB), 0, before, replace=True)
    studio.tell()
    waiting = studio.result().state

    told = studio.results.told([JOB])[JOB]
    assert store.rollbacks.retell(studio.job(), at=told.state_at, detail="told before").applied
    studio.tell()

    assert waiting == "STARTED"
    assert studio.result().state == "FAILURE"
