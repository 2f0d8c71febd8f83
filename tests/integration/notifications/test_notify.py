"""A final job is told to its backend by a signed POST, over and over until it is taken, and once per version."""

from __future__ import annotations

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from tests.integration.notifications.conftest import Notified
from tests.integration.notifications.receiver import OLDER_SECRET, Answer
from tests.integration.steps.conftest import DAY, HOUR, JOB, MINUTE
from tests.integration.steps.meddling import killed
from worker.jobs.states import JobState
from worker.steps import Step

SECOND = 1.0
OTHER_SECRET = "whsec_dGhpcyBpcyBub3QgdGhlIHNlY3JldCBvZiB0aGF0"


def test_the_end_of_a_job_is_told_at_once(notified: Notified) -> None:
    notified.final(metadata={"order": 7})

    notified.scene.follow(JOB, Step.NOTIFY)

    (received,) = notified.receiver.received
    content, job = received.verified(), notified.scene.job()
    assert received.path == "/hook"
    assert received.headers["content-type"] == "application/json"
    assert received.webhook_id == f"{JOB}.{job.ver}"
    assert content["type"] == "job.archived"
    assert content["data"]["ver"] == job.ver
    assert content["data"]["state"] == "archived"
    assert content["data"]["metadata"] == {"order": 7}
    assert content["data"]["videos"][0]["uri"] == job.videos[0].uri
    assert "corgi" not in received.body.decode()
    assert job.closed_at is not None
    assert job.notified_ver == job.ver


def test_every_secret_signs(notified: Notified) -> None:
    notified.final()

    notified.scene.follow(JOB, Step.NOTIFY)

    (received,) = notified.receiver.received
    assert received.verified()["data"] == received.verified(OLDER_SECRET)["data"]
    with pytest.raises(WebhookVerificationError):
        received.verified(OTHER_SECRET)


def test_a_failed_job_is_told_with_its_error(notified: Notified) -> None:
    scene = notified.scene
    scene.rule("generation", outcome="failed")
    scene.submitted("evolink", notify_url=notified.receiver.url())
    while not notified.receiver.received:
        notified.try_once()

    content = notified.receiver.received[0].verified()

    assert content["type"] == "job.failed"
    assert content["data"]["error"]["stage"] == "generate"


def test_a_cancelled_job_is_told(notified: Notified) -> None:
    scene = notified.scene
    scene.accepted(notify_url=notified.receiver.url())
    scene.store.jobs.move(JOB, JobState.CANCELLED, attempt=1, path="operator")

    scene.follow()

    assert notified.receiver.types == ["job.cancelled"]


def test_tries_follow_the_schedule_for_three_days_under_one_id(notified: Notified) -> None:
    notified.receiver.answer = Answer(500, body=b"not now")
    notified.final()
    waits = [notified.try_until_sent() for _ in range(9)]
    planned = [0, 5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR]
    began = notified.scene.clock.now - sum(waits[1:])

    while notified.scene.job().is_open:
        notified.try_until_sent()
    lasted = notified.scene.clock.now - began

    assert [0.89 * wait <= took <= 1.11 * wait + 1 for wait, took in zip(planned, waits, strict=True)] == [True] * 9
    assert 3 * DAY - 5 * HOUR < lasted <= 3 * DAY
    assert 24 <= len(notified.receiver.received) <= 27
    assert set(notified.receiver.ids) == {f"{JOB}.{notified.scene.job().ver}"}
    job = notified.scene.job()
    assert job.notify_dead == job.ver
    assert job.closed_at is not None
    assert notified.scene.counter("notifications_dead") == 1
    assert len(notified.scene.store.notifications.deliveries(JOB)) == 20


def test_a_try_is_kept_with_what_the_receiver_said(notified: Notified) -> None:
    notified.receiver.answers = [Answer(500, body=b"\x1b[2Jdatabase\nis away " + b"x" * 5000)]
    notified.final()

    notified.scene.follow(JOB, Step.NOTIFY)
    notified.try_until_sent()

    first, second = notified.scene.store.notifications.deliveries(JOB)
    assert (first["status"], second["status"]) == (500, 204)
    assert first["words"].startswith("database is away xxx")
    assert len(first["words"]) == 200
    assert first["ver"] == notified.scene.job().ver
    assert 0 <= first["ms"] < 60_000
    assert notified.scene.job().closed_at is not None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(notified: Notified, status: int) -> None:
    elsewhere = {"Location": notified.receiver.url("/elsewhere")}
    notified.receiver.answers = [Answer(status, headers=elsewhere)]
    notified.final()

    notified.scene.follow(JOB, Step.NOTIFY)

    assert [one.path for one in notified.receiver.received] == ["/hook"]
    assert notified.statuses() == [status]
    assert 4 < notified.scene.due_in() < 6


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 422, 500, 502])
def test_whatever_is_no_success_is_tried_again(notified: Notified, status: int) -> None:
    notified.receiver.answers = [Answer(status)]
    notified.final()

    notified.scene.follow(JOB, Step.NOTIFY)
    notified.try_until_sent()

    assert notified.statuses() == [status, 204]


def test_410_ends_it(notified: Notified) -> None:
    notified.receiver.answer = Answer(410)
    notified.final()

    notified.scene.follow(JOB, Step.NOTIFY)

    job = notified.scene.job()
    assert job.notify_dead == job.ver
    assert job.closed_at is not None
    assert notified.scene.counter("notifications_dead") == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heeded(notified: Notified, status: int) -> None:
    notified.receiver.answers = [Answer(status, headers={"Retry-After": "900"})]
    notified.final()
    notified.scene.follow(JOB, Step.NOTIFY)

    took = notified.try_until_sent()

    assert 900 <= took <= 1000


def test_an_endless_retry_after_is_heeded_for_four_hours(notified: Notified) -> None:
    notified.receiver.answers = [Answer(503, headers={"Retry-After": "999999999"})]
    notified.final()
    notified.scene.follow(JOB, Step.NOTIFY)

    took = notified.try_until_sent()

    assert 4 * HOUR <= took <= 4.5 * HOUR


def test_a_killed_process_tells_again_under_the_same_id(notified: Notified) -> None:
    """N1: the receiver has it, and we do not know."""
    scene = notified.scene
    notified.final()
    with pytest.raises(KeyboardInterrupt):
        scene.run(Step.NOTIFY, services=scene.but(store=scene.with_store(before={"notifications.notified": killed})))
    assert len(notified.receiver.received) == 1

    notified.try_until_sent()

    assert len(notified.receiver.received) == 2
    assert len(set(notified.receiver.ids)) == 1
    assert scene.job().closed_at is not None


def test_a_receiver_that_cuts_the_connection_is_told_again(notified: Notified) -> None:
    def cut() -> None:
        raise ConnectionResetError

    notified.receiver.answers = [Answer(before=cut)]
    notified.final()
    notified.scene.follow(JOB, Step.NOTIFY)
    (tried,) = notified.scene.store.notifications.deliveries(JOB)

    notified.try_until_sent()

    assert tried["status"] is None
    assert "closed the connection" in tried["error"]
    assert len(set(notified.receiver.ids)) == 1


def test_a_doubled_message_tells_once(notified: Notified) -> None:
    notified.final()

    for _ in range(3):
        notified.scene.run(Step.NOTIFY)

    assert len(notified.receiver.received) == 1


def test_a_result_that_nobody_takes_does_not_hold_the_notification_up(notified: Notified) -> None:
    scene = notified.scene
    scene.archived(notify_url=notified.receiver.url())
    scene.told.is_down = True

    scene.follow()

    assert notified.receiver.types == ["job.archived"]
    assert scene.job().is_open
    scene.told.is_down = False
    scene.look_when_due()
    assert scene.job().closed_at is not None
    assert len(notified.receiver.received) == 1


def test_a_late_video_is_a_new_notification(notified: Notified) -> None:
    scene = notified.scene
    scene.rule("generation", seconds=9 * HOUR)
    scene.submitted(notify_url=notified.receiver.url())
    scene.advance(6 * HOUR + 1)
    scene.follow()
    assert notified.receiver.types == ["job.expired"]

    while notified.receiver.types[-1] == "job.expired":
        notified.try_once()

    assert notified.receiver.types == ["job.expired", "job.archived"]
    first, last = (one.verified()["data"]["ver"] for one in notified.receiver.received)
    assert first < last
    assert len(set(notified.receiver.ids)) == 2


def test_a_later_version_overtakes_the_tries_of_an_older_one(notified: Notified) -> None:
    scene = notified.scene
    notified.receiver.answer = Answer(500)
    notified.final()
    scene.follow(JOB, Step.NOTIFY)
    notified.receiver.answer = Answer()

    scene.store.jobs.move(JOB, JobState.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":3}'})
    notified.try_until_sent()

    first, second = notified.receiver.received
    assert first.verified()["data"]["ver"] < second.verified()["data"]["ver"]
    assert second.verified()["data"]["cost"]["usage"] == {"credits": 3}


def test_a_version_that_comes_while_one_is_told_is_told_as_well(notified: Notified) -> None:
    scene = notified.scene

    def learn() -> None:
        scene.store.jobs.move(JOB, JobState.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":3}'})

    notified.receiver.answers = [Answer(before=learn)]
    notified.final()

    scene.follow(JOB, Step.NOTIFY)

    assert len(set(notified.receiver.ids)) == 2
    assert scene.job().closed_at is not None


def test_a_job_that_wants_no_notification_has_none(notified: Notified) -> None:
    scene = notified.scene
    scene.archived()

    assert scene.run(Step.DELIVER) is None

    assert scene.job().closed_at is not None
    assert scene.job().notified_ver is None
    assert notified.receiver.received == []
    assert scene.store.notifications.deliveries(JOB) == []


def test_an_expired_job_is_looked_at_while_its_notification_fails(notified: Notified) -> None:
    """Neither the slow look nor the schedule waits for the other."""
    scene = notified.scene
    scene.rule("generation", seconds=9 * HOUR)
    notified.receiver.answer = Answer(500)
    scene.submitted(notify_url=notified.receiver.url())
    scene.advance(6 * HOUR + 1)
    scene.follow()
    expired = scene.job().ver

    while scene.job().state is JobState.EXPIRED:
        notified.try_once()

    tries = [one for one in notified.receiver.received if one.verified()["data"]["ver"] == expired]
    assert 6 <= len(tries) <= 9, "5 s, 30 s, 2 min, 10 min, 30 min, 1 h of three hours"


def test_a_plan_of_a_clock_that_was_ahead_is_due_now(notified: Notified) -> None:
    scene = notified.scene
    notified.receiver.answers = [Answer(500)]
    notified.final()
    scene.advance(300 * DAY)
    scene.run(Step.NOTIFY)

    scene.advance(-300 * DAY)
    notified.try_until_sent()

    assert notified.statuses() == [500, 204]
