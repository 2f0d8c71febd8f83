"""`celery -A tests.chaos.rigged_worker`: the shipped tasks over rigged services."""

from __future__ import annotations

from functools import cache

from tests.chaos.rigged import rigged_services
from worker import runtime, tasks
from worker.celery import app
from worker.messaging.results import CeleryResults
from worker.services import Services

__all__ = ["app", "tasks"]


@cache
def _rigged(_pid: int) -> Services:
    return rigged_services(lambda store: CeleryResults(app, store))


runtime._services = _rigged
