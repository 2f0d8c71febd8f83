"""A scene whose jobs are notified of at a real receiver, which tests drive by the same moved clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from tests.integration.notifications.receiver import OLDER_SECRET, SECRET, Receiver, receiving
from tests.integration.steps.conftest import (
    JOB,
    Scene,
    bucket_client,
    provider_session,
    scene,
    settings,
    still_sandbox,
    store_client,
)
from worker.guard.destinations import Destination
from worker.jobs.job import Job
from worker.notifications.delivery import Notifications
from worker.notifications.hosts import HostLimits
from worker.settings.settings import Settings
from worker.steps import Step

__all__ = ["bucket_client", "provider_session", "scene", "settings", "still_sandbox", "store_client"]


@pytest.fixture
def receiver(tls: LocalTls) -> Iterator[Receiver]:
    with receiving(tls) as receiver:
        yield receiver


@dataclass
class Notified:
    """The scene with notifications set up, and its jobs sent to `receiver` unless told otherwise."""

    scene: Scene
    receiver: Receiver

    def final(self, job_id: str = JOB, **fields: Any) -> Job:
        """A job that is archived and told; its notification is due."""
        self.scene.archived("gmicloud", job_id, notify_url=self.receiver.url(), **fields)
        following = self.scene.run(Step.DELIVER, job_id)
        assert following is Step.NOTIFY
        return self.scene.job(job_id)

    def try_once(self, job_id: str = JOB) -> Job:
        """Let time pass until the job is due, then take the step that the sweep nudges."""
        self.scene.advance(max(0.0, self.scene.due_in(job_id)) + 0.001)
        for step, due in self.scene.sweep():
            if due == job_id:
                self.scene.follow(job_id, step)
        return self.scene.job(job_id)

    def try_until_sent(self, job_id: str = JOB) -> float:
        """Follow the clock until one more POST has come, or the job is closed; the seconds it took."""
        before, began = len(self.receiver.received), self.scene.clock.now
        while len(self.receiver.received) == before and self.scene.job(job_id).is_open:
            self.try_once(job_id)
        return self.scene.clock.now - began

    def statuses(self, job_id: str = JOB) -> list[int | None]:
        """Of each try that is kept."""
        return [tried["status"] for tried in self.scene.store.notifications.deliveries(job_id)]


@pytest.fixture
def notified(scene: Scene, receiver: Receiver) -> Notified:
    return Notified(with_notifications(scene, receiver), receiver)


def with_notifications(scene: Scene, receiver: Receiver, **changes: Any) -> Scene:
    """*scene* with secrets, and *receiver* among the hosts that may be sent to."""
    given = {
        "notify_secrets": (SECRET, OLDER_SECRET),
        "notify_hosts": (Destination.parse(receiver.url("")),),
        **changes,
    }
    settings: Settings = replace(scene.services.settings, **given)
    notifications = Notifications.from_settings(settings)
    notifications.hosts = HostLimits(clock=lambda: scene.clock.now, rng=scene.services.rng)
    scene.services = scene.but(settings=settings, notifications=notifications)
    return scene
