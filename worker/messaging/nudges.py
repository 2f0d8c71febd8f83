"""Nudges: messages that ask some worker to take a step for jobs now.

They may be lost or doubled: whoever they name is due already, and the sweep finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery

from worker.errors import BrokerError
from worker.steps import NAMELESS, OF_ARCHIVER, Step

BROKER_TIMEOUT_SECONDS = 1.0


def queue_of(step: Step) -> str:
    """The name of the queue that the nudges of *step* go to."""
    return "callsheet.archive" if step in OF_ARCHIVER else "callsheet"


def send(app: Celery, step: Step, job_ids: Sequence[str], **options: Any) -> None:
    """Send one message, which names *job_ids* unless the step chooses by itself; raises whatever the transport does."""
    app.send_task(
        f"callsheet.{step}",
        kwargs={} if step in NAMELESS else {"job_ids": list(job_ids)},
        queue=queue_of(step),
        ignore_result=True,
        **options,
    )


def are_waiting(app: Celery, name: str) -> bool:
    """Whether messages wait in the queue of that *name*; False where the broker does not tell."""
    queue = app.amqp.queues[name]
    declared = {"durable": queue.durable, "auto_delete": queue.auto_delete, "arguments": queue.queue_arguments}
    with app.connection_or_acquire() as connection:
        try:
            return bool(connection.default_channel.queue_declare(queue.name, **declared).message_count)
        except Exception:  # noqa: BLE001  every transport has errors of its own
            connection.collect()  # or the next one to borrow it would meet a dead one
            return False


class Sender:
    """Sends the nudges of one step for one thread, over a connection of its own: short time-outs and no retries."""

    def __init__(self, app: Celery, step: Step) -> None:
        self._app = app
        self._step = step
        self._producer: Any = None

    def __call__(self, job_ids: Sequence[str]) -> None:
        """Send one message for *job_ids*; `BrokerError` when the broker did not take it."""
        try:
            if self._producer is None:
                self._producer = self._connect()
            send(self._app, self._step, job_ids, retry=False, producer=self._producer)
        except Exception as err:  # every transport has errors of its own
            self._producer = None
            reason = f"no {self._step} message was sent ({type(err).__name__}); the sweep finds the jobs"
            raise BrokerError(reason) from err

    def _connect(self) -> Any:
        limits = ("socket_timeout", "socket_connect_timeout", "read_timeout", "write_timeout")  # Redis's, AMQP's
        connection = self._app.connection_for_write(
            connect_timeout=BROKER_TIMEOUT_SECONDS,
            transport_options=dict.fromkeys(limits, BROKER_TIMEOUT_SECONDS),
        )
        # once more for a broker of two hosts
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        return self._app.amqp.Producer(connection.channel(), auto_declare=False)
