"""The application that a web server runs: `webhook.wsgi:application()`."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Mapping
from functools import partial

from flask import Flask

from webhook.app import create_app
from worker import providers
from worker.errors import SettingsError
from worker.heartbeat import Heart
from worker.logs import configure
from worker.messaging.nudges import Sender
from worker.messaging.publisher import Publisher
from worker.providers.base import Provider
from worker.services import open_store
from worker.settings.settings import Settings
from worker.steps import Step

STORE_TIMEOUT_SECONDS = 1.0
"""A provider waits 10 s; the answer that Redis is silent is due within 2."""

APP_LOAD_ERROR = 4
"""The exit status of a worker after which gunicorn ends as well, instead of trying again for ever."""


def application(env: Mapping[str, str] = os.environ) -> Flask:
    """Return the receiver for *env*, logging to stderr; end the process, with one line, where *env* cannot be used."""
    try:
        settings, adapters = _configured(env)
    except SettingsError as err:
        print(err, file=sys.stderr)  # noqa: T201  nothing is set up yet that could log
        raise SystemExit(APP_LOAD_ERROR) from None
    logging.basicConfig(level=logging.INFO)
    configure(logging.getLogger(), settings.log_format)
    from worker.celery import app, name_connections  # reads the environment when it is imported

    name_connections("web")

    store = open_store(settings, timeout_seconds=STORE_TIMEOUT_SECONDS, name="callsheet-web")
    publisher = Publisher(Sender(app, Step.CONFIRM))
    atexit.register(publisher.close)
    heart = Heart(["web"], partial(open_store, settings, timeout_seconds=STORE_TIMEOUT_SECONDS, name="callsheet-web"))
    atexit.register(heart.stop)
    heart.start_thread()
    return create_app(
        store=store,
        providers=adapters,
        secrets=settings.callback_secrets,
        publisher=publisher,
    )


def _configured(env: Mapping[str, str]) -> tuple[Settings, Mapping[str, Provider]]:
    settings = Settings.from_env(env)
    return settings, providers.build(settings)


if __name__ == "__main__":  # gunicorn's master has the environment judged before it starts workers: server.py
    from worker.bucket.environment import session  # brings boto3, which no worker of gunicorn needs

    try:
        _configured(os.environ)
        session(os.environ)  # the receiver itself asks nothing of S3; a bucket that no process can use is said by all
    except SettingsError as err:
        sys.exit(f"callsheet: {err}")
