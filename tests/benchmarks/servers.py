"""The web applications that the receiver is measured beside.

gunicorn --workers 2 "tests.benchmarks.servers:no_op()"
gunicorn --config deploy/gunicorn.conf.py "tests.benchmarks.servers:sending()"
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from flask import Flask, Response

from webhook.app import create_app
from worker import providers
from worker.jobs.timing import DAY, ms
from worker.messaging.publisher import Publisher
from worker.settings.settings import Settings
from worker.store import Store, connect


def no_op() -> Flask:
    """The cheapest POST route that Flask can serve."""
    app = Flask(__name__)

    @app.post("/<path:anything>")
    def answer(anything: str) -> Response:
        return Response('{"outcome": "stored"}', mimetype="application/json")

    return app


class EagerPublisher(Publisher):
    """Sends every nudge before the provider is answered, as a receiver without a publisher does."""

    def nudge(self, job_id: str) -> None:
        self._send([job_id])


def sending() -> Flask:
    """Our receiver, but with `send_task` on the request's path; through Celery's own pool of producers."""
    settings = Settings.from_env(os.environ)
    from worker.celery import app  # reads the environment when it is imported

    def send(job_ids: Sequence[str]) -> None:
        app.send_task(
            "callsheet.confirm", kwargs={"job_ids": list(job_ids)}, queue="callsheet.archive", ignore_result=True
        )

    return create_app(
        store=Store(connect(settings.redis_url, timeout_seconds=1.0), retention_ms=ms(30 * DAY)),
        providers=providers.build(settings),
        secrets=settings.callback_secrets,
        publisher=EagerPublisher(send),
    )
