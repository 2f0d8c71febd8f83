"""The door for backends in Python: record a job, then ask for it to be started.

    from worker.client import enqueue
    result = enqueue({"model": "kling-3.0-turbo", "prompt": "A corgi on the beach"})
    video = result.get(timeout=900)["videos"][0]["uri"]

Backends in other languages send the Celery task `callsheet.generate` instead
(README.md); a job sent that way exists once a worker has recorded it. Where
messages must be signed, one in Python calls `sign_messages(secret)` once.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from worker.messaging.results import GENERATE
from worker.messaging.signatures import sign_messages
from worker.services import Services
from worker.settings.settings import Settings
from worker.steps import accept

__all__ = ["enqueue", "sign_messages"]

log = logging.getLogger(__name__)


def enqueue(
    spec: Mapping[str, Any], job_id: str | None = None, *, services: Services | None = None, batch: str = ""
) -> AsyncResult[Any]:
    """Record a job and nudge it; its `AsyncResult` is returned once the job cannot be lost.

    *job_id* (1 to 64 of A-Z, a-z, 0-9, `_`, `-`) is the idempotency key: the
    same id with the same spec is the same job. Without it, one is made. *batch* names the jobs it is ordered with.
    Raises `SettingsError`, `SpecError` (every problem of the spec), `SpecConflict`
    (the id belongs to another spec) and `StoreError` (not known to be recorded:
    call again with the same id).
    """
    app, sender = _app(os.getpid()), _sender(os.getpid())
    job_id = str(uuid.uuid4()) if job_id is None else job_id
    accept.run(job_id, spec, services or _services(os.getpid()), batch=batch)
    try:
        # without its spec, which Redis has
        sender.send_task(GENERATE, task_id=job_id, queue="callsheet", kwargsrepr="<spec>", argsrepr="()")
    except Exception as err:  # noqa: BLE001  whatever the transport raises: the sweep starts the job
        log.warning("nudge.unsent", extra={"job_id": job_id, "reason": type(err).__name__})
    return AsyncResult(job_id, app=app)


@cache
def _services(_pid: int) -> Services:
    """This process's services, put together once: they hold connections, and S3's client takes its time."""
    return Services.from_settings(Settings.from_env(os.environ))


@cache
def _app(_pid: int) -> Celery:
    """An app that only waits. The caller may have an app of their own, which stays the current one."""
    Settings.from_env(os.environ)
    app = Celery("callsheet", set_as_current=False)
    app.config_from_object("worker.celeryconfig")
    return app


@cache
def _sender(_pid: int) -> Celery:
    """An app that only sends. With a result backend Celery would subscribe to each result, though nobody waits for it
    yet, and end that at once: a fifth of what sending costs. `AsyncResult.get` subscribes by itself."""
    app = Celery("callsheet", set_as_current=False, changes={"result_backend": "disabled"})
    app.config_from_object("worker.celeryconfig")
    return app
