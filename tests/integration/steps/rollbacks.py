"""A Redis that is set back, the processes that come after it, and a bucket that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from tests.integration.steps.conftest import JOB, Scene
from tests.integration.steps.meddling import Hook
from worker.bucket.bucket import Bucket
from worker.bucket.intents import Begun, Intents
from worker.errors import BucketError
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.services import Services

Rollback = Callable[[], None]


def snapshot(scene: Scene) -> Rollback:
    """Redis as it is now, to be made so again: a replica that has lagged since, or a backup."""
    client = scene.store.scripts.client
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
    return scene.but(store=scene.another_store())


class MeddledIntents(Intents):
    """A log with something happening before or after a try is recorded, withheld, read, or its outcome kept."""

    def __init__(self, like: Bucket, before: dict[str, Hook], after: dict[str, Hook]) -> None:
        super().__init__(like.objects)
        self._before, self._after = before, after

    def _meddled(self, name: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._before.get(name, lambda: None)()
        answer = call(*args, **options)
        self._after.get(name, lambda: None)()
        return answer

    def begin(self, *args: Any, **options: Any) -> Begun | None:
        found: Begun | None = self._meddled("begin", super().begin, *args, **options)
        return found

    def withhold(self, *args: Any, **options: Any) -> Begun | None:
        found: Begun | None = self._meddled("withhold", super().withhold, *args, **options)
        return found

    def begun(self, *args: Any, **options: Any) -> Begun | None:
        found: Begun | None = self._meddled("begun", super().begun, *args, **options)
        return found

    def keep(self, *args: Any, **options: Any) -> None:
        self._meddled("keep", super().keep, *args, **options)


def with_bucket(
    scene: Scene, *, before: dict[str, Hook] | None = None, after: dict[str, Hook] | None = None
) -> Services:
    """The services with a bucket that is meddled with."""
    return with_intents(scene, MeddledIntents(scene.services.bucket, before or {}, after or {}))


def with_intents(scene: Scene, intents: Intents) -> Services:
    """The services with another log in their bucket."""
    bucket = copy(scene.services.bucket)
    bucket.intents = intents
    return scene.but(bucket=bucket)


def refuse() -> None:
    """An S3 that is away: before a request it is lost, after it only its answer."""
    raise BucketError("unreachable", "S3 did not answer")


def without_s3(scene: Scene) -> Services:
    """The services while S3 answers nothing that is asked of POSTs."""
    return with_bucket(scene, before=dict.fromkeys(("begin", "withhold", "begun", "keep"), refuse))


def followed_to_its_end(scene: Scene, job_id: str = JOB, rounds: int = 60) -> Job:
    """The job, looked at whenever it is due until it has its video or is closed."""
    for _ in range(rounds):
        if scene.store.due.at(job_id) is None or scene.job(job_id).state is JobState.ARCHIVED:
            break
        scene.look_when_due(job_id)
        scene.follow(job_id)
    return scene.job(job_id)
