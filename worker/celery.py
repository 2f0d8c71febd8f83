"""The Celery application: `celery -A worker`. Its settings are in `worker/celeryconfig.py`."""

from __future__ import annotations

import gc
import logging
import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    beat_init,
    celeryd_init,
    worker_before_create_process,
)
from kombu.transport import TRANSPORT_ALIASES

from worker.errors import SettingsError
from worker.logs import configure
from worker.settings.settings import Settings

# Under kombu's own names, so that a URL stays what it is to all who read one
TRANSPORT_ALIASES.update(
    redis="worker.messaging.transports:RedisTransport",
    rediss="worker.messaging.transports:RedisTransport",
    sentinel="worker.messaging.transports:SentinelTransport",
    amqp="worker.messaging.transports:AmqpTransport",
    amqps="worker.messaging.transports:AmqpsTransport",
)

app = Celery("callsheet", include=["worker.tasks", "worker.control"], control="worker.messaging.broadcasts:Control")
app.config_from_object("worker.celeryconfig")
app.steps["worker"].add("worker.messaging.liveness:HeartbeatStep")


@after_setup_logger.connect
@after_setup_task_logger.connect
def _configure_logging(logger: logging.Logger, **_: Any) -> None:
    configure(logger, Settings.from_env(os.environ).log_format)


@celeryd_init.connect
def _name_a_workers_connections(sender: str, **_: Any) -> None:
    name_connections(sender.partition("@")[0])


@beat_init.connect
def _name_beats_connections(**_: Any) -> None:
    name_connections("beat")


def name_connections(kind: str) -> None:
    """Have Redis' CLIENT LIST tell what kind of process each connection of this one is of, and what for."""
    app.conf.update(callsheet_process=f"callsheet-{kind}", redis_client_name=f"callsheet-{kind}-results")
    if "client_name" in app.conf.broker_transport_options:  # none on RabbitMQ
        app.conf.broker_transport_options["client_name"] = f"callsheet-{kind}-messages"


def process_name() -> str:
    """The name of this process's connections for records: `callsheet-worker`, and the like."""
    return str(app.conf.get("callsheet_process", "callsheet"))


@celeryd_init.connect
def _judge_s3(**_: Any) -> None:
    """End the process, with one line, where boto3 cannot use what the environment says of S3."""
    environment = import_module("worker.bucket.environment")
    try:
        environment.session()
    except SettingsError as err:
        raise SystemExit(f"callsheet: {err}") from None
    if silent := environment.unset_region():
        logging.getLogger(__name__).warning("bucket.region_default", extra={"reason": silent})


@worker_before_create_process.connect
def _share_memory(**_: Any) -> None:
    """Load what every child needs before it is forked, out of reach of its garbage collector, which would write to
    all of it: the pages stay shared."""
    import_module("worker.services")
    import_module("worker.bucket.bucket")
    gc.collect()
    gc.freeze()
