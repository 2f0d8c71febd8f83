"""The Flask application of the receiver: stores, answers and nudges, nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Flask

from webhook import callbacks, errors, health
from worker.messaging.publisher import Publisher
from worker.providers.base import Provider
from worker.store import Store


def create_app(
    *, store: Store, providers: Mapping[str, Provider], secrets: Sequence[str], publisher: Publisher
) -> Flask:
    """Put the application together from its parts; connects to nothing before the first request.

    *store*'s client must have a short time-out and no retries: its silence is
    answered 503 while the provider still waits.
    """
    app = Flask(__name__, static_folder=None)
    # a redirect to a tidier path would repeat the token, after whatever Host the caller claimed
    app.url_map.merge_slashes = False
    receiver = callbacks.Receiver(providers, secrets, store, publisher.nudge)
    app.register_blueprint(callbacks.blueprint(receiver))
    app.register_blueprint(health.blueprint(store, publisher))
    errors.register(app)
    return app
