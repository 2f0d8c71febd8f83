"""The application that a web server runs: `webhook.wsgi:application()`."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from flask import Flask

from webhook import create_app
from webhook.convoy import Convoy
from webhook.publisher import Publisher
from worker import providers
from worker.errors import BrokerError, SettingsError
from worker.logs import configure
from worker.settings import Settings
from worker.store import Store, connect
from worker.timing import DAY, ms

STORE_TIMEOUT_SECONDS = 1.0
"""A provider waits 10 s; the answer that Redis is silent is due within 2."""

BROKER_TIMEOUT_SECONDS = 1.0

APP_LOAD_ERROR = 4
"""The exit status of a worker after which gunicorn ends as well, instead of trying again for ever."""

ARCHIVE_QUEUE = "callsheet.archive"


def application(env: Mapping[str, str] = os.environ) -> Flask:
    """The receiver for *env*, logging to stderr; ends the process, with one line, where *env* cannot be used."""
    try:
        settings = Settings.from_env(env)
        adapters = providers.build(settings)
    except SettingsError as err:
        print(err, file=sys.stderr)  # noqa: T201  nothing is set up yet that could log
        raise SystemExit(APP_LOAD_ERROR) from None
    logging.basicConfig(level=logging.INFO)
    configure(logging.getLogger())
    from worker.celery import app  # reads the environment when it is imported

    client = connect(settings.redis_url, timeout_seconds=STORE_TIMEOUT_SECONDS, kind=Convoy)
    publisher = Publisher(ArchiveSender(app))
    atexit.register(publisher.close)
    return create_app(
        store=Store(client, retention_ms=ms(settings.retention_days * DAY)),
        providers=adapters,
        secrets=settings.callback_secrets,
        publisher=publisher,
    )


class ArchiveSender:
    """Sends `callsheet.archive` messages for one thread, over a connection of its own.

    Short time-outs and no retries: the jobs are due anyway.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._producer: Any = None

    def __call__(self, job_ids: Sequence[str]) -> None:
        """Send one message for *job_ids*; `BrokerError` when the broker did not take it."""
        try:
            if self._producer is None:
                self._producer = self._connect()
            self._app.send_task(
                "callsheet.archive",
                kwargs={"job_ids": list(job_ids)},
                queue=ARCHIVE_QUEUE,
                ignore_result=True,
                retry=False,
                producer=self._producer,
            )
        except Exception as err:  # every transport has errors of its own
            self._producer = None
            raise BrokerError(f"no archive message was sent ({type(err).__name__}); the sweep finds the jobs") from err

    def _connect(self) -> Any:
        limits = ("socket_timeout", "socket_connect_timeout", "read_timeout", "write_timeout")  # Redis's, AMQP's
        connection = self._app.connection_for_write(
            connect_timeout=BROKER_TIMEOUT_SECONDS,
            transport_options=dict.fromkeys(limits, BROKER_TIMEOUT_SECONDS),
        )
        # once more for a broker of two hosts
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        return self._app.amqp.Producer(connection.channel(), auto_declare=False)
