"""This process's singletons, put together at first use: its services, and the ways to nudge a step."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache

from worker.celery import app, process_name
from worker.heartbeat import Heart
from worker.messaging import nudges
from worker.messaging.publisher import Publisher
from worker.messaging.results import CeleryResults
from worker.services import Services
from worker.settings.settings import Settings
from worker.steps import Step, sweep
from worker.steps.late_places import LatePlaces
from worker.steps.notify_pool import NotifyPool
from worker.steps.places import Places, archive_places

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""The time that the jobs of a burst may wait to be started together; a single one is started at once."""


def services() -> Services:
    """This process's services, put together at first use; a forked child gets its own."""
    return _services(os.getpid())


@cache
def _services(_pid: int) -> Services:
    settings = Settings.from_env(os.environ)
    return Services.from_settings(settings, results=lambda store: CeleryResults(app, store), name=process_name())


def nudge(step: Step, job_ids: Sequence[str]) -> None:
    """Ask some worker to start *step* now; if that cannot be asked, the sweep will."""
    try:
        nudges.send(app, step, job_ids)
    except Exception as err:  # noqa: BLE001  whatever the transport raises: a nudge may be lost
        log.warning("nudge.unsent", extra={"step": step, "reason": type(err).__name__})


def ticked() -> Heart:
    """This process's sign that ticks of beat's arrive and are acted on."""
    return _ticked(os.getpid())


@cache
def _ticked(_pid: int) -> Heart:
    return Heart(["tick"], lambda: services().store)


def places() -> Places:
    """This process's places for copies; a forked child gets its own."""
    return _places(os.getpid())


@cache
def _places(_pid: int) -> Places:
    return archive_places(services(), nudge)


def late_places() -> LatePlaces:
    """This process's places for looks at jobs that ended without a video; a forked child gets its own."""
    return _late_places(os.getpid())


@cache
def _late_places(_pid: int) -> LatePlaces:
    return LatePlaces(services(), nudge)


def notify_pool() -> NotifyPool:
    """This process's threads that send notifications; a forked child gets its own."""
    return _notify_pool(os.getpid())


def end_notifications(seconds: float) -> None:
    """Wait for the notifications that this process has under way: one that is cut off is sent again."""
    if _notify_pool.cache_info().currsize:
        notify_pool().wait_until_idle(seconds)


@cache
def _notify_pool(_pid: int) -> NotifyPool:
    return NotifyPool(services(), nudge)


def starter() -> Publisher:
    """This process's publisher of submit nudges: a task that has recorded its job does not wait for the broker,
    and what a burst records goes out in few messages, each of which costs as much as recording."""
    return _starter(os.getpid())


@cache
def _starter(_pid: int) -> Publisher:
    sender, batch = nudges.Sender(app, Step.SUBMIT), sweep.JOBS_PER_MESSAGE[Step.SUBMIT]
    return Publisher(sender, batch=batch, gather_seconds=GATHER_SECONDS)
