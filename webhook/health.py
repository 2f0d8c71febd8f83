"""Liveness and readiness of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from flask import Blueprint, Response

from webhook.errors import answer
from worker.errors import StoreError
from worker.messaging.publisher import Publisher
from worker.store import Store

REMEMBERED_SECONDS = 1.0


class Remembered:
    """The answer of *ask*, asked again when it is older than a second."""

    def __init__(self, ask: Callable[[], str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._found: tuple[float, str] | None = None

    def __call__(self) -> str:
        if self._found is None or self._monotonic() - self._found[0] >= REMEMBERED_SECONDS:
            answer = self._ask()
            self._found = self._monotonic(), answer
        return self._found[1]


def _durability(store: Store) -> str:
    """The durability of the writes of a Redis that takes them; "" where it takes none."""
    try:
        store.server.try_write()
        return store.server.durability
    except StoreError:
        return ""


def blueprint(store: Store, publisher: Publisher) -> Blueprint:
    """`/live` and `/ready`."""
    bp = Blueprint("health", __name__)
    writable = Remembered(partial(_durability, store))

    @bp.get("/live", provide_automatic_options=False)
    def live() -> Response:
        """Answer 200, and ask no dependency."""
        return answer(200, status="live")

    @bp.get("/ready", provide_automatic_options=False)
    def ready() -> Response:
        """Tell the state of each dependency by name; 503 exactly when Redis takes no write.

        It is asked at most once a second: every write is synced to disk, and anybody may come here.

        Callbacks are taken without the broker too, so its state, and the nudges it was not given, only inform.
        """
        broker: dict[str, str | int] = {"broker": publisher.state, "nudges_dropped": publisher.dropped}
        if durability := writable():
            return answer(200, status="ready", redis="up", durability=durability, **broker)
        return answer(503, status="not ready", redis="down", durability="unknown", **broker)

    return bp
