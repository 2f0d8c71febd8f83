"""The demo's backend service: it knows Celery, the name of the task, and nothing else of Callsheet."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from worker.errors import LocalError


class Backend:
    """Sends `callsheet.generate` and waits for `AsyncResult(job_id).get()`, as any service would."""

    def __init__(self, broker_url: str, result_url: str) -> None:
        self._app = Celery("demo-backend", broker=broker_url, backend=result_url)
        self._app.conf.update(result_serializer="json", accept_content=["json"], broker_connection_timeout=5)

    def send(self, job_id: str, spec: Mapping[str, Any]) -> None:
        """Enqueue a job; its task id is the job id."""
        try:
            self._app.send_task(
                "callsheet.generate", kwargs=dict(spec), task_id=job_id, queue="callsheet", kwargsrepr="<spec>"
            )
        except OperationalError as err:
            raise LocalError(
                f"the broker did not take the message of {job_id}: is CALLSHEET_BROKER_URL right?"
            ) from err

    def wait_for(self, job_ids: list[str], *, timeout_seconds: float) -> Waiting:
        """Begin to wait for the results of *job_ids*."""
        return Waiting([AsyncResult(job_id, app=self._app) for job_id in job_ids], timeout_seconds)


class Waiting:
    """The outcomes so far: `results` by job id; `failures` by job id, in words."""

    def __init__(self, promises: list[AsyncResult[Any]], timeout_seconds: float) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, str] = {}
        self._promises = promises
        self._deadline = time.monotonic() + timeout_seconds
        self._thread = threading.Thread(target=self._wait, name="backend", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _wait(self) -> None:
        for promise in self._promises:
            job_id = str(promise.id)
            try:
                self.results[job_id] = promise.get(timeout=max(0.1, self._deadline - time.monotonic()))
            except ResultTimeoutError:
                self.failures[job_id] = "no result came in time"
            except Exception as err:  # noqa: BLE001 - whatever the job failed with is what there is to tell
                self.failures[job_id] = f"{type(err).__name__}: {err}"
