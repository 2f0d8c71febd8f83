"""Names of other projects' classes that ours override: were one renamed, ours would silently never be called."""

from __future__ import annotations

import inspect

import pytest
from amqp import serialization, spec
from celery.worker.consumer import Consumer
from gunicorn.workers.ggevent import GeventWorker

from webhook.server import Worker
from worker.messaging import broadcasts, transports
from worker.messaging.inbound import Inbox

OURS: tuple[type, ...] = (
    Worker,
    Inbox,
    *(
        found
        for module in (broadcasts, transports)
        for found in vars(module).values()
        if inspect.isclass(found) and found.__module__ == module.__name__ and found is not transports._Reading
    ),
)
ADDED = {"_hand_on", "_refuse", "_settings", "_store", "_surviving", "channel", "connection_errors", "channel_errors"}
"""Of our own, or attributes of an instance that only a type says here."""

OVERRIDDEN = [
    (ours, name)
    for ours in OURS
    for base in ours.__mro__
    if base in (*OURS, transports._Reading)
    for name in vars(base)
    if not (name.startswith("__") and name != "__init__") and name not in ADDED
]


@pytest.mark.parametrize(("ours", "name"), OVERRIDDEN, ids=lambda value: getattr(value, "__name__", value))
def test_what_a_class_of_ours_overrides_is_there_to_be_overridden(ours: type, name: str) -> None:
    theirs = [base for base in ours.__mro__ if not base.__module__.startswith(("worker.", "webhook."))]

    assert any(name in vars(base) for base in theirs if base is not object)


def test_the_places_that_are_patched_are_there() -> None:
    assert spec.Basic.CLASS_ID in serialization.PROPERTY_CLASSES
    assert all(hasattr(GeventWorker, name) for name in ("handle", "handle_request", "handle_error"))
    assert hasattr(Consumer, "create_task_handler")
