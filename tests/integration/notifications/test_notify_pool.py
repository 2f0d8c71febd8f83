"""A slow or dead receiver harms nobody: no slot of Celery's is held, and no other host waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from deploy.local.tls import LocalTls
from tests.conftest import WaitUntil
from tests.integration.notifications.conftest import Notified, with_notifications
from tests.integration.notifications.receiver import Answer, Receiver, receiving
from worker.guard.destinations import Destination
from worker.notifications.hosts import AT_ONCE, FAILURES, PAUSE_SECONDS
from worker.steps import Step
from worker.steps.notify_pool import NotifyPool

IDLE_SECONDS = 30.0


@pytest.fixture
def other(tls: LocalTls) -> Iterator[Receiver]:
    """A second host."""
    with receiving(tls) as receiver:
        yield receiver


@pytest.fixture
def published() -> list[tuple[Step, str]]:
    return []


@pytest.fixture
def pool(notified: Notified, other: Receiver, published: list[tuple[Step, str]]) -> NotifyPool:
    listed = tuple(Destination.parse(one.url("")) for one in (notified.receiver, other))
    scene = with_notifications(notified.scene, notified.receiver, notify_hosts=listed)

    def publish(step: Step, job_ids: Sequence[str]) -> None:
        published.extend((step, job_id) for job_id in job_ids)

    return NotifyPool(scene.services, publish)


def finals(notified: Notified, count: int, name: str = "slow") -> list[str]:
    """Jobs that are told, and whose notification is due."""
    ids = [f"{name}-{n}" for n in range(count)]
    for job_id in ids:
        notified.final(job_id)
    return ids


def test_what_is_offered_is_sent_by_threads(notified: Notified, pool: NotifyPool) -> None:
    ids = finals(notified, 3)

    pool.offer(ids)

    assert pool.wait_until_idle(IDLE_SECONDS)
    assert {one.partition(".")[0] for one in notified.receiver.ids} == set(ids)
    assert all(notified.scene.job(job_id).closed_at for job_id in ids)


def test_a_job_that_is_offered_twice_is_sent_once(notified: Notified, pool: NotifyPool) -> None:
    ids = finals(notified, 1)
    release = threading.Event()
    notified.receiver.answer = Answer(before=lambda: release.wait(10))

    pool.offer(ids)
    pool.offer(ids)
    release.set()

    assert pool.wait_until_idle(IDLE_SECONDS)
    assert len(notified.receiver.received) == 1


def test_a_slow_receiver_has_only_so_many_threads_and_another_is_told_meanwhile(
    notified: Notified, pool: NotifyPool, other: Receiver, wait_until: WaitUntil
) -> None:
    release = threading.Event()
    notified.receiver.answer = Answer(before=lambda: release.wait(20))
    ids = finals(notified, AT_ONCE + 2)
    notified.scene.archived("gmicloud", "quick", notify_url=other.url())
    notified.scene.run(Step.DELIVER, "quick")

    pool.offer(ids)
    wait_until(lambda: len(notified.receiver.received) == AT_ONCE)
    pool.offer(["quick"])
    wait_until(lambda: len(other.received) == 1)
    begun = len(notified.receiver.received)
    release.set()

    assert begun == AT_ONCE
    assert pool.wait_until_idle(IDLE_SECONDS)
    assert len(notified.receiver.received) == AT_ONCE + 2


def test_a_dead_receiver_is_left_alone_and_its_jobs_are_put_off(notified: Notified, pool: NotifyPool) -> None:
    scene = notified.scene
    notified.receiver.answer = Answer(503)
    *dead, late = finals(notified, FAILURES + 1)
    for job_id in dead:
        pool.offer([job_id])
        assert pool.wait_until_idle(IDLE_SECONDS)

    pool.offer([late])

    assert pool.wait_until_idle(IDLE_SECONDS)
    assert len(notified.receiver.received) == FAILURES
    assert scene.store.notifications.deliveries(late) == []
    assert PAUSE_SECONDS - 1 <= scene.due_in(late) <= PAUSE_SECONDS + 2
    assert not scene.job(late).notify_tries, "that it waited costs it no try"


def test_a_receiver_that_is_back_is_told_all(notified: Notified, pool: NotifyPool) -> None:
    scene = notified.scene
    notified.receiver.answer = Answer(503)
    ids = finals(notified, FAILURES + 3)
    for job_id in ids:
        pool.offer([job_id])
        assert pool.wait_until_idle(IDLE_SECONDS)
    notified.receiver.answer = Answer()

    for _ in range(60):
        scene.advance(30)
        pool.offer([job_id for step, job_id in scene.sweep() if step is Step.NOTIFY])
        assert pool.wait_until_idle(IDLE_SECONDS)

    assert all(scene.job(job_id).closed_at for job_id in ids)
    assert all(scene.job(job_id).notified_ver == scene.job(job_id).ver for job_id in ids)


def test_a_receiver_that_refuses_is_not_dead(notified: Notified, pool: NotifyPool) -> None:
    notified.receiver.answer = Answer(404)

    for job_id in finals(notified, FAILURES + 1):
        pool.offer([job_id])
        assert pool.wait_until_idle(IDLE_SECONDS)

    assert len(notified.receiver.received) == FAILURES + 1


def test_a_job_whose_turn_it_is_not_is_left_alone(notified: Notified, pool: NotifyPool) -> None:
    notified.receiver.answers = [Answer(500)]
    (job_id,) = finals(notified, 1)
    pool.offer([job_id])
    assert pool.wait_until_idle(IDLE_SECONDS)

    pool.offer([job_id, "no-such-job"])

    assert pool.wait_until_idle(IDLE_SECONDS)
    assert len(notified.receiver.received) == 1
