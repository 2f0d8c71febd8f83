"""A backend service as Callsheet meets it: a plain Celery application that knows a broker URL and a task's name."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from celery.canvas import Signature
from celery.result import AsyncResult

from deploy.sandbox.client import SandboxControl

GENERATE = "callsheet.generate"
QUEUE = "callsheet"
SEND_AGAIN_SECONDS = 3

WORDS = "a corgi called Zwiebelchen runs along the beach"
"""Stands in every prompt here; wherever else it shows, a prompt has leaked."""
SIGNATURE = "f00dcafe5ca1ab1e"
"""Stands in every picture's link as its signature; the same holds for it."""

SPECS: Mapping[str, Mapping[str, Any]] = {
    "gmicloud": {"model": "kling-3.0-turbo-t2v", "duration": 3},
    "evolink": {"model": "kling-v3-turbo-image-to-video", "duration": 3},
    "apimart": {"model": "kling-3.0-turbo", "duration": 3},
}
"""The least that each provider takes, but for the prompt and the picture."""


def new_id(name: str = "job") -> str:
    """A job id that nobody used before."""
    return f"{name}-{secrets.token_hex(5)}"


def frame(job_id: str, size: str = "640x640") -> str:
    """A link to a picture that only *job_id* uses; the sandbox reads the size from its name."""
    return f"https://pictures.example.com/{job_id}/frame-{size}.png?Signature={SIGNATURE}"


def a_spec(job_id: str, provider: str = "evolink", **fields: Any) -> dict[str, Any]:
    """A spec that *provider* takes; its prompt names the job, so that the sandbox's rules and history know it."""
    spec = {"provider": provider, **SPECS[provider], "prompt": f"{WORDS}, take {job_id}", **fields}
    if provider == "evolink":
        spec.setdefault("first_frame", frame(job_id))
    return spec


class Backend:
    """Enqueues jobs; what it returns is Celery's own `AsyncResult`."""

    def __init__(self, redis_url: str, control: SandboxControl) -> None:
        self.app = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
        self._control = control
        self._sent: dict[str, Mapping[str, Any]] = {}
        self._send_again_at = 0.0

    def ask(
        self, provider: str = "evolink", *, trouble: Sequence[Mapping[str, Any]] = (), **fields: Any
    ) -> AsyncResult[Any]:
        """Enqueue a new job at *provider*, which will meet the sandbox's rules *trouble*, and nobody else will."""
        job_id = new_id()
        self.script(job_id, *trouble)
        return self.send(job_id, a_spec(job_id, provider, **fields))

    def send(self, job_id: str, spec: Mapping[str, Any]) -> AsyncResult[Any]:
        """The message as README.md shows it."""
        self._sent[job_id] = spec
        return self.app.send_task(GENERATE, kwargs=dict(spec), task_id=job_id, queue=QUEUE, kwargsrepr="<spec>")

    def signature(self, job_id: str, **fields: Any) -> Signature[Any]:
        """The same, not sent yet: for chains, groups and chords."""
        return self.app.signature(
            GENERATE, kwargs=a_spec(job_id, **fields), queue=QUEUE, task_id=job_id, kwargsrepr="<spec>", immutable=True
        )

    def has_insisted(self) -> bool:
        """Whether Callsheet knows every job that was sent.

        A broker may lose a message, so README.md asks of whoever sends one to
        send it again while the result stays PENDING.
        """
        pending = [job_id for job_id in self._sent if self.result(job_id).state == "PENDING"]
        if pending and time.monotonic() > self._send_again_at:
            self._send_again_at = time.monotonic() + SEND_AGAIN_SECONDS
            for job_id in pending:
                self.send(job_id, self._sent[job_id])
        return not pending

    def result(self, job_id: str) -> AsyncResult[Any]:
        return AsyncResult(job_id, app=self.app)

    def script(self, job_id: str, *rules: Mapping[str, Any]) -> None:
        """Have the sandbox treat the job *job_id* by *rules*."""
        if rules:
            self._control.script(*({**rule, "match": {"contains": job_id}} for rule in rules))

    def close(self) -> None:
        self.app.close()
