"""Liveness and readiness of this process."""

from __future__ import annotations

from flask import Blueprint, Response

from webhook.errors import answer
from worker.errors import StoreError
from worker.messaging.publisher import Publisher
from worker.store import Store


def blueprint(store: Store, publisher: Publisher) -> Blueprint:
    """`/live` and `/ready`."""
    bp = Blueprint("health", __name__)

    @bp.get("/live", provide_automatic_options=False)
    def live() -> Response:
        """Answer 200, and ask no dependency."""
        return answer(200, status="live")

    @bp.get("/ready", provide_automatic_options=False)
    def ready() -> Response:
        """Tell the state of each dependency by name; 503 exactly when Redis does not answer.

        Callbacks are taken without the broker too, so its state, and the nudges it was not given, only inform.
        """
        broker: dict[str, str | int] = {"broker": publisher.state, "nudges_dropped": publisher.dropped}
        try:
            store.ping()
            return answer(200, status="ready", redis="up", durability=store.durability, **broker)
        except StoreError:
            return answer(503, status="not ready", redis="down", durability="unknown", **broker)

    return bp
