"""A preview of an act tells the same as the act, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import redis

from tests.integration.cli.conftest import Lives, environment, lives, store
from tests.integration.notifications.receiver import receiving
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.operations import ask, cancel, renotify, replay, retry
from worker.operations.outcome import Outcome, Pays
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.services import Services
from worker.settings.settings import Settings

__all__ = ["environment", "lives", "store"]  # fixtures

JOB = "j1"
ACTS: dict[str, Callable[..., Outcome]] = {
    "cancel": cancel.cancel,
    "retry": retry.retry,
    "retry-and-pay": partial(retry.retry, pay_again=True),
    "ask": ask.ask,
}


def accepted(lives: Lives, job_id: str = JOB) -> None:
    lives.accept(job_id)


def called_early(lives: Lives, job_id: str = JOB) -> None:
    lives.accept(job_id)
    heard(lives, "r-x", job_id)


def submitted(lives: Lives, job_id: str = JOB) -> None:
    lives.accept(job_id)
    lives.submit(job_id)


def cancelled(lives: Lives, job_id: str = JOB) -> None:
    lives.accept(job_id)
    lives.store.jobs.move(job_id, JobState.CANCELLED, attempt=1, path="operator")


def refused(lives: Lives, job_id: str = JOB) -> None:
    lives.accept(job_id)
    lives.fail(job_id, JobError("submit", "moderation", "no"))


def failed(lives: Lives, job_id: str = JOB) -> None:
    submitted(lives, job_id)
    lives.fail(job_id, JobError("generate", "timed_out", "no"))


def expired(lives: Lives, job_id: str = JOB) -> None:
    submitted(lives, job_id)
    lives.store.jobs.move(job_id, JobState.EXPIRED, attempt=1, path="sweep")


def lost_copy(lives: Lives, job_id: str = JOB) -> None:
    submitted(lives, job_id)
    lives.store.jobs.move(job_id, JobState.GENERATED, attempt=1, path="poll")
    lives.fail(job_id, JobError("archive", "dead", "no"))


def archived(lives: Lives, job_id: str = JOB) -> None:
    submitted(lives, job_id)
    lives.close(lives.archive(job_id))


STANDINGS = (accepted, called_early, submitted, cancelled, refused, failed, expired, lost_copy, archived)


def heard(lives: Lives, request_id: str, job_id: str = JOB) -> None:
    event = event_json.dump(ProviderEvent(request_id, EventKind.FAILED, "failed"))
    lives.store.callbacks.arrive(
        job_id, attempt=1, request_id=request_id, fingerprint="f", is_terminal=True, event_json=event
    )


@pytest.fixture
def services(environment: Mapping[str, str]) -> Services:
    return Services.from_settings(Settings.from_env(environment))


def everything(client: redis.Redis) -> dict[str, object]:
    """All of Redis but the probes of durability and of shards."""
    keys = [str(key) for key in client.scan_iter()]
    return {key: client.dump(key) for key in keys if not key.endswith((":synced", ":shards"))}


@pytest.mark.parametrize("standing", STANDINGS)
def test_a_preview_tells_what_the_act_then_does(
    services: Services, lives: Lives, redis_client: redis.Redis, standing: Callable[..., None]
) -> None:
    for name, act in ACTS.items():
        standing(lives, name)
        before = everything(redis_client)

        told = act(name, services, preview=True)
        untouched = everything(redis_client) == before
        done = act(name, services)

        assert untouched, name
        assert (told.code, told.is_done, told.pays, told.costs) == (done.code, done.is_done, done.pays, done.costs)
        assert told.facts == done.facts
        assert (told.is_preview, done.is_preview) == (True, False)


@pytest.mark.parametrize(
    ("standing", "pays", "pays_with_leave"),
    [
        (refused, Pays.ATTEMPT, Pays.ATTEMPT),
        (cancelled, Pays.ATTEMPT, Pays.ATTEMPT),
        (failed, Pays.ATTEMPT_AGAIN, Pays.ATTEMPT_AGAIN),
        (expired, Pays.NOTHING, Pays.ATTEMPT_AGAIN),
        (lost_copy, Pays.NOTHING, Pays.ATTEMPT_AGAIN),
        (archived, Pays.NOTHING, Pays.NOTHING),
    ],
)
def test_a_preview_of_a_retry_says_whether_it_pays_and_perhaps_again(
    services: Services, lives: Lives, standing: Callable[..., None], pays: Pays, pays_with_leave: Pays
) -> None:
    standing(lives)

    told = [retry.retry(JOB, services, pay_again=again, preview=True).pays for again in (False, True)]

    assert told == [pays, pays_with_leave]


def test_a_replay_is_foreseen_and_not_done(services: Services, lives: Lives, redis_client: redis.Redis) -> None:
    submitted(lives)
    heard(lives, f"r-{JOB}")
    before = everything(redis_client)

    told = replay.replay(JOB, services, preview=True)
    untouched = everything(redis_client) == before

    assert (told.code, told.is_preview, untouched) == ("replayed", True, True)
    assert replay.replay(JOB, services).code == "replayed"


def test_a_replay_that_can_change_nothing_is_foreseen(services: Services, lives: Lives) -> None:
    submitted(lives)
    heard(lives, f"r-{JOB}")
    lives.close(lives.archive(JOB))

    told, done = replay.replay(JOB, services, preview=True), replay.replay(JOB, services)

    assert (told.code, told.is_done) == (done.code, done.is_done) == ("late", False)


def test_a_notification_is_sent_by_the_act_alone(environment: dict[str, str], lives: Lives) -> None:
    with receiving(None) as receiver:
        environment |= {
            "CALLSHEET_NOTIFY_SECRETS": "whsec_" + "A" * 32,
            "CALLSHEET_NOTIFY_URL": receiver.url(),
            "CALLSHEET_NOTIFY_HOSTS": receiver.url(""),
        }
        services = Services.from_settings(Settings.from_env(environment))
        refused(lives)

        told = renotify.renotify(JOB, services, preview=True)
        sent_before = list(receiver.received)
        done = renotify.renotify(JOB, services)

    assert (told.code, told.is_preview, sent_before) == ("would_send", True, [])
    assert (done.code, len(receiver.received)) == ("delivered", 1)
