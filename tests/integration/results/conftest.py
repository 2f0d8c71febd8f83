"""A backend service's Celery app over the real result backend, and jobs whose Celery message has come.

Its broker is in memory, so that a test can look at every message that was sent.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult

from tests.integration.store.conftest import OUTCOME_UNKNOWN, RETENTION, VIDEO, Clock
from worker.jobs.job import Job, JobError, Link, videos_json
from worker.jobs.states import JobState
from worker.messaging.results import GENERATE, CeleryResults, capture
from worker.store import Fields, Reply, Store, connect

S = JobState
JOB = "job-1"
REFUSED = JobError("submit", "refused", "the provider said no")
SPEC = json.dumps({"metadata": {"order": 7}})


class Studio:
    """The backend service: what it sends, what it is sent, what it can read."""

    def __init__(self, app: Celery, store: Store, clock: Clock, queue: str) -> None:
        self.app = app
        self.store = store
        self.clock = clock
        self.queue = queue
        self.results = CeleryResults(app, store)

    def generate(self, job_id: str = JOB, **options: Any) -> Any:
        """The signature of a job."""
        return self.app.signature(GENERATE, queue="callsheet", task_id=job_id, **options)

    def after(self, name: str = "studio.after", **options: Any) -> Any:
        return self.app.signature(name, queue=self.queue, **options)

    def result(self, job_id: str = JOB) -> AsyncResult[Any]:
        return AsyncResult(job_id, app=self.app)

    def children(self, job_id: str = JOB) -> list[str]:
        """The ids of the tasks that the told job has started."""
        found: Any = self.result(job_id).children
        return [str(child.id) for child in found]

    def arrive(self) -> list[str]:
        """Do with every message of a job what `callsheet.generate` does; the ids."""
        return [self.take(message) for message in self.sent("callsheet")]

    def take(self, message: Mapping[str, Any]) -> str:
        """Do with one message of a job what `callsheet.generate` does; the job's id."""
        request = Context({**message["headers"], **message["embed"], "hostname": "worker@host"})
        request.delivery_info = {"routing_key": "callsheet"}
        self.store.history.save_request(str(request.id), capture(request))
        return str(request.id)

    def sent(self, queue: str | None = None) -> list[dict[str, Any]]:
        """Every message in *queue* (the service's own unless named), taken out of it."""
        messages: list[dict[str, Any]] = []
        with self.app.connection_for_read() as connection, connection.SimpleQueue(queue or self.queue) as simple:
            while True:
                try:
                    message = simple.get_nowait()
                except simple.Empty:
                    return messages
                message.ack()
                args, kwargs, embed = message.payload
                messages.append({"headers": message.headers, "args": args, "kwargs": kwargs, "embed": embed})

    def accepted(self, job_id: str = JOB) -> Job:
        return self._moved(
            self.store.jobs.accept(job_id, spec_json=SPEC, spec_sha256="ab", provider="gmicloud", model="kling")
        )

    def submitted(self, job_id: str = JOB) -> Job:
        self.accepted(job_id)
        return self._moved(
            self.store.attempts.bind(job_id, attempt=1, provider="gmicloud", request_id=f"r-{job_id}", path="submit")
        )

    def archived(self, job_id: str = JOB) -> Job:
        if self.store.jobs.get(job_id) is None:
            self.accepted(job_id)
        if self.job(job_id).state is S.ACCEPTED:
            self.store.attempts.bind(job_id, attempt=1, provider="gmicloud", request_id=f"r-{job_id}", path="submit")
        self.store.jobs.move(job_id, S.GENERATED, attempt=1, path="poll", links=(Link("https://cdn.example.com/v"),))
        facts: Fields = {"videos": videos_json((VIDEO,))}
        return self._moved(
            self.store.jobs.move(job_id, S.ARCHIVED, attempt=1, path="poll", facts=facts, owes_manifest=True)
        )

    def failed(self, job_id: str = JOB, error: JobError = REFUSED) -> Job:
        if self.store.jobs.get(job_id) is None:
            self.accepted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.FAILED, attempt=1, path="submit", error=error))

    def outcome_unknown(self, job_id: str = JOB) -> Job:
        self.accepted(job_id)
        self.store.jobs.move(job_id, S.UNCONFIRMED, attempt=1, path="sweep")
        return self.failed(job_id, OUTCOME_UNKNOWN)

    def cancelled(self, job_id: str = JOB) -> Job:
        self.accepted(job_id)
        return self._moved(self.store.jobs.move(job_id, S.CANCELLED, attempt=1, path="operator"))

    def job(self, job_id: str = JOB) -> Job:
        """The record as it is now: what the next settle step would tell."""
        job = self.store.jobs.get(job_id)
        assert job is not None
        return job

    def tell(self, job_id: str = JOB) -> None:
        self.results.tell(self.job(job_id))

    @staticmethod
    def _moved(reply: Reply) -> Job:
        assert reply.applied
        assert reply.job is not None
        return reply.job


def new_app(backend: str, broker: str = "memory://") -> Celery:
    app = Celery(f"studio-{secrets.token_hex(4)}", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        result_expires=30 * 24 * 3600,
        result_chord_expires=30 * 24 * 3600,
        task_publish_retry=False,
        redis_retry_on_timeout=False,
        redis_socket_connect_timeout=1.0,
        result_backend_transport_options={"retry_policy": {"max_retries": 0}},
        broker_connection_timeout=1,
    )
    return app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis_url: str, clock: Clock) -> Iterator[Store]:
    client: redis.Redis
    with connect(redis_url) as client:
        yield Store(client, retention_ms=RETENTION, clock=clock)


@pytest.fixture
def make_studio(store: Store, clock: Clock) -> Iterator[Callable[..., Studio]]:
    """A studio over any backend and broker; closed when the test is over."""
    apps: list[Celery] = []

    def make(backend: str, broker: str = "memory://") -> Studio:
        apps.append(new_app(backend, broker))
        return Studio(apps[-1], store, clock, f"studio-{secrets.token_hex(4)}")

    yield make
    for app in apps:
        backend: Any = app.backend
        # a result that is thrown away later would connect once more, to unsubscribe
        backend.__dict__["remove_pending_result"] = lambda _: None
        backend.result_consumer.stop()
        backend.client.connection_pool.disconnect()
        app.close()


@pytest.fixture
def studio(make_studio: Callable[..., Studio], redis_url: str) -> Studio:
    return make_studio(redis_url)
