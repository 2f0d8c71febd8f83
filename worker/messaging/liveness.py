"""Heartbeats of Celery's processes: a worker's in its event loop, beat's in its tick."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from celery import beat, bootsteps

from worker.heartbeat import BEAT_SECONDS, STORE_TIMEOUT_SECONDS, Heart
from worker.services import open_store
from worker.settings.settings import Settings
from worker.store import Store

KINDS = {"callsheet": "worker", "callsheet.archive": "archiver", "callsheet.sweep": "sweeper"}
"""A queue -> the role of a worker that serves it; one may serve several."""


def _store(kind: str) -> Store:
    settings = Settings.from_env(os.environ)
    return open_store(settings, timeout_seconds=STORE_TIMEOUT_SECONDS, name=f"callsheet-{kind}")


class HeartbeatStep(bootsteps.StartStopStep):
    """Gives the signs of a worker from the timer of its event loop, in the roles of the queues that it serves."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._heart: Heart | None = None
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        served = parent.app.amqp.queues.consume_from
        kinds = [kind for queue, kind in KINDS.items() if queue in served]
        self._heart = Heart(kinds, partial(_store, "-".join(kinds)))
        self._heart.beat()
        self._timer = parent.timer.call_repeatedly(BEAT_SECONDS, self._heart.beat)

    def stop(self, parent: Any) -> None:  # noqa: ARG002  Celery's signature
        if self._timer is not None:
            self._timer.cancel()
        if self._heart is not None:
            self._heart.stop()


class Scheduler(beat.Scheduler):
    """Celery's in-memory scheduler, which gives beat's signs with its ticks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._heart = Heart(["beat"], partial(_store, "beat"))
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> Any:
        self._heart.beat()
        return super().tick(*args, **options)

    def close(self) -> None:
        self._heart.stop()
        super().close()
