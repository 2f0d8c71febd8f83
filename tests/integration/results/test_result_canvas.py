"""The canvas of a job: links, chains, chords and errbacks, started once when the job is delivered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import celery
import pytest
from celery.result import AsyncResult

from deploy.local.ports import free_port
from tests.integration.results.conftest import JOB, Studio
from tests.integration.store.conftest import OUTCOME_UNKNOWN
from worker.errors import JobFailed, ResultError
from worker.jobs.states import JobState

S = JobState

# Celery's own way to write the results of a chain and of a chord's body
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


def names(messages: list[dict[str, Any]]) -> list[str]:
    return [message["headers"]["task"] for message in messages]


def revived(studio: Studio) -> None:
    """The job's video comes after all."""
    studio.store.attempts.bind(JOB, attempt=1, provider="gmicloud", request_id="r", path="poll")
    studio.archived()


def test_a_link_is_sent_once_with_the_result(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    studio.archived()

    for _ in range(3):
        studio.tell()

    [message] = studio.sent()
    assert message["args"][0]["videos"][0]["sha256"] == "ab" * 32
    assert (message["headers"]["parent_id"], message["headers"]["root_id"]) == (JOB, JOB)


def test_every_one_of_several_links_is_sent(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=[studio.after("studio.first"), studio.after("studio.second")])
    studio.arrive()
    studio.archived()

    studio.tell()

    assert names(studio.sent()) == ["studio.first", "studio.second"]
    assert len(studio.children()) == 2


def test_the_children_of_a_told_job_stay_known_when_it_is_told_anew(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    studio.archived()
    studio.tell()
    children = studio.children()
    studio.store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"cost": "1"}'})

    studio.tell()

    assert studio.result().get()["cost"]["usage"] == {"cost": "1"}
    assert studio.children() == children != []


def test_a_chain_goes_on_with_what_follows_and_hands_the_rest_over(studio: Studio) -> None:
    studio.accepted()
    second, third = studio.after("studio.second"), studio.after("studio.third")
    end = celery.chain(studio.generate(), second, third, app=studio.app).apply_async()
    studio.arrive()
    studio.archived()

    studio.tell()

    [message] = studio.sent()
    assert message["headers"]["task"] == "studio.second"
    assert message["args"][0]["state"] == "archived"
    assert [rest["task"] for rest in message["embed"]["chain"]] == ["studio.third"]
    assert studio.children() == [message["headers"]["id"]]
    assert end.id == message["embed"]["chain"][0]["options"]["task_id"]


def test_a_chain_whose_job_fails_fails_whole_so_that_nobody_waits_for_ever(studio: Studio) -> None:
    studio.accepted()
    second, third = studio.after("studio.second"), studio.after("studio.third")
    end = celery.chain(studio.generate(), second, third, app=studio.app).apply_async()
    studio.arrive()
    studio.failed()

    studio.tell()

    assert studio.sent() == []
    with pytest.raises(JobFailed, match="the provider said no"):
        end.get(timeout=5)


def test_a_chain_whose_job_is_cancelled_ends_too(studio: Studio) -> None:
    studio.accepted()
    end = celery.chain(studio.generate(), studio.after(), app=studio.app).apply_async()
    studio.arrive()
    studio.store.jobs.move(JOB, S.CANCELLED, attempt=1, path="operator")

    studio.tell()

    assert str(end.state) == "REVOKED"


def test_a_chain_goes_on_when_the_video_of_a_failed_job_comes_late(studio: Studio) -> None:
    studio.accepted()
    studio.store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="sweep")
    celery.chain(studio.generate(), studio.after(), app=studio.app).apply_async()
    studio.arrive()
    studio.failed(error=OUTCOME_UNKNOWN)
    studio.tell()
    assert studio.sent() == []

    revived(studio)
    studio.tell()

    assert names(studio.sent()) == ["studio.after"]


def test_an_errback_is_sent_once_with_the_jobs_id(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after(), link_error=studio.after("studio.complain"))
    studio.arrive()
    studio.failed()

    for _ in range(3):
        studio.tell()

    [message] = studio.sent()
    assert message["headers"]["task"] == "studio.complain"
    assert message["args"] == [JOB]


def test_an_old_failure_told_late_sends_no_errback_and_fails_no_chain(studio: Studio) -> None:
    studio.accepted()
    studio.store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="sweep")
    end = celery.chain(studio.generate(), studio.after(), app=studio.app).apply_async(
        link_error=studio.after("studio.complain")
    )
    studio.arrive()
    old = studio.failed(error=OUTCOME_UNKNOWN)
    revived(studio)
    studio.tell()
    assert names(studio.sent()) == ["studio.after"]

    studio.results.tell(old)

    assert studio.sent() == []
    assert end.state == "PENDING"


def test_an_old_success_told_late_sends_no_link_again(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    old = studio.archived()
    studio.store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"cost": "1"}'})
    studio.tell()
    assert len(studio.sent()) == 1

    studio.results.tell(old)

    assert studio.sent() == []


def test_a_chord_runs_its_body_once_when_its_last_job_is_archived(studio: Studio) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    jobs = [studio.generate("job-1"), studio.generate("job-2")]
    celery.chord(jobs, app=studio.app)(studio.after("studio.cut"))
    assert studio.arrive() == ["job-1", "job-2"]

    studio.archived("job-1")
    studio.tell("job-1")
    studio.tell("job-1")
    before = studio.sent()
    studio.archived("job-2")
    studio.tell("job-2")
    studio.tell("job-2")

    [message] = studio.sent()
    assert before == []
    assert message["headers"]["task"] == "studio.cut"
    assert [part["job_id"] for part in message["args"][0]] == ["job-1", "job-2"]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_chord_with_a_job_without_a_video_fails_its_body(studio: Studio, end: str) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    jobs = [studio.generate("job-1"), studio.generate("job-2")]
    body = celery.chord(jobs, app=studio.app)(studio.after("studio.cut"))
    studio.arrive()

    studio.archived("job-1")
    studio.tell("job-1")
    if end == "failed":
        studio.failed("job-2")
    else:
        studio.store.jobs.move("job-2", S.CANCELLED, attempt=1, path="operator")
    studio.tell("job-2")

    assert studio.sent() == []
    assert body.state == "FAILURE"


def test_a_group_of_jobs_is_joined_from_their_results(studio: Studio) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    joined = celery.group([studio.generate("job-1"), studio.generate("job-2")], app=studio.app).apply_async()
    studio.arrive()

    for job_id in ("job-1", "job-2"):
        studio.archived(job_id)
        studio.tell(job_id)

    assert [part["job_id"] for part in joined.get(timeout=5)] == ["job-1", "job-2"]


@pytest.mark.parametrize(
    "broken", [{"task": None}, {}, {"task": "studio.x", "options": 7}, "no signature", 7, {"task": ["a"]}]
)
def test_a_link_that_celery_cannot_understand_costs_neither_the_result_nor_the_other_links(
    studio: Studio, broken: object
) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    saved = json.loads(studio.store.history.requests(JOB)[0])
    saved["callbacks"] = [broken, *saved["callbacks"]]
    studio.store.scripts.client.lset(studio.store.scripts.keys.of(JOB)[4], 1, json.dumps(saved))
    studio.archived()

    studio.tell()

    assert studio.result().state == "SUCCESS"
    assert names(studio.sent()) == ["studio.after"]


def test_a_link_in_a_form_that_cannot_be_written_costs_nobody_anything(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=[studio.after("studio.odd").set(serializer="no-such"), studio.after()])
    studio.arrive()
    studio.archived()

    studio.tell()

    assert studio.result().state == "SUCCESS"
    assert names(studio.sent()) == ["studio.after"]


def test_an_errback_that_celery_cannot_understand_costs_not_the_result(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async()
    studio.arrive()
    saved = json.loads(studio.store.history.requests(JOB)[0])
    studio.store.scripts.client.lset(
        studio.store.scripts.keys.of(JOB)[4], 1, json.dumps({**saved, "errbacks": [{"task": 7}]})
    )
    studio.failed()

    studio.tell()

    assert studio.result().state == "FAILURE"


def test_a_broker_that_is_away_leaves_the_links_owed(make_studio: Callable[..., Studio], studio: Studio) -> None:
    redis_url = str(studio.app.conf.result_backend)
    cut_off = make_studio(redis_url, f"redis://127.0.0.1:{free_port()}/0")
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    job = studio.archived()
    with pytest.raises(ResultError):
        cut_off.results.tell(job)

    studio.tell()

    assert names(studio.sent()) == ["studio.after"]
    assert studio.result().state == "SUCCESS"


def test_a_broker_that_is_away_leaves_the_errbacks_owed_and_the_caller_told(
    make_studio: Callable[..., Studio], studio: Studio
) -> None:
    redis_url = str(studio.app.conf.result_backend)
    cut_off = make_studio(redis_url, f"redis://127.0.0.1:{free_port()}/0")
    studio.accepted()
    studio.generate().apply_async(link_error=studio.after("studio.complain"))
    studio.arrive()
    job = studio.failed()
    with pytest.raises(ResultError):
        cut_off.results.tell(job)
    state_meanwhile = studio.result().state

    studio.tell()

    assert state_meanwhile == "FAILURE"
    assert names(studio.sent()) == ["studio.complain"]


def test_a_job_sent_by_id_alone_can_be_read_by_anybody(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(ignore_result=False)
    studio.arrive()
    studio.archived()
    studio.tell()

    assert AsyncResult(JOB, app=studio.app).get(timeout=5)["job_id"] == JOB


def sent_again_after_half_was_lost(studio: Studio) -> AsyncResult[Any]:
    """The body of a chord of two jobs that was sent again, as the broker had lost the first one's second message."""
    bodies = []
    for lost in (1, 0):
        parts = [studio.generate("job-1"), studio.generate("job-2")]
        bodies.append(celery.chord(parts, app=studio.app)(studio.after("studio.cut")))
        messages = studio.sent("callsheet")
        for message in messages[: len(messages) - lost]:
            studio.take(message)
    return bodies[-1]


def test_a_chord_half_lost_and_sent_again_runs_its_body_once(studio: Studio) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    sent_again_after_half_was_lost(studio)

    for job_id in ("job-1", "job-2", "job-1"):
        if studio.job(job_id).state is S.ACCEPTED:
            studio.archived(job_id)
        studio.tell(job_id)

    [message] = studio.sent()
    assert message["headers"]["task"] == "studio.cut"
    assert [part["job_id"] for part in message["args"][0]] == ["job-1", "job-2"]


def test_a_chord_half_lost_and_sent_again_fails_when_a_job_of_it_does(studio: Studio) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    body = sent_again_after_half_was_lost(studio)

    studio.failed("job-1")
    studio.archived("job-2")
    for job_id in ("job-1", "job-2"):
        studio.tell(job_id)

    assert body.state == "FAILURE"


def test_a_chord_sent_again_when_its_jobs_have_ended_runs_its_new_body_once(studio: Studio) -> None:
    for job_id in ("job-1", "job-2"):
        studio.accepted(job_id)
    parts = [studio.generate("job-1"), studio.generate("job-2")]
    for _ in range(2):
        celery.chord(parts, app=studio.app)(studio.after("studio.cut"))
        studio.arrive()
        for job_id in ("job-1", "job-2"):
            if studio.job(job_id).state is S.ACCEPTED:
                studio.archived(job_id)
            studio.tell(job_id)
            studio.tell(job_id)
        assert names(studio.sent()) == ["studio.cut"]


def test_each_of_two_senders_of_a_job_has_his_own_link_called_once(studio: Studio) -> None:
    studio.accepted()
    for name in ("studio.mine", "studio.yours", "studio.mine"):
        studio.generate().apply_async(link=studio.after(name), link_error=studio.after("studio.complain"))
    studio.arrive()
    studio.archived()

    for _ in range(3):
        studio.tell()

    assert names(studio.sent()) == ["studio.mine", "studio.yours"]
    assert len(studio.children()) == 2


def test_each_of_two_senders_of_a_job_is_complained_to_once(studio: Studio) -> None:
    studio.accepted()
    for name in ("studio.complain", "studio.weep"):
        studio.generate().apply_async(link_error=studio.after(name))
    studio.arrive()
    studio.failed()

    for _ in range(3):
        studio.tell()

    assert names(studio.sent()) == ["studio.complain", "studio.weep"]


def test_a_sender_with_callbacks_is_heard_after_one_without(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async()
    studio.generate().apply_async(link=studio.after())
    studio.arrive()
    studio.archived()

    studio.tell()

    assert names(studio.sent()) == ["studio.after"]


def test_no_more_senders_are_kept_than_have_room(studio: Studio) -> None:
    studio.accepted()
    for n in range(20):
        studio.generate().apply_async(link=studio.after(f"studio.after-{n}"))
    studio.arrive()

    assert len(studio.store.history.requests(JOB)) == 8


def test_a_message_delivered_again_is_kept_once(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    [message] = studio.sent("callsheet")
    for _ in range(3):
        studio.take(message)

    assert len(studio.store.history.requests(JOB)) == 1


def test_a_request_too_long_to_be_kept_beside_the_first_is_left_out(studio: Studio) -> None:
    studio.accepted()
    studio.generate().apply_async(link=studio.after())
    studio.generate().apply_async(link=studio.after("studio.long", kwargs={"text": "x" * 300_000}))
    studio.arrive()

    assert len(studio.store.history.requests(JOB)) == 1
