"""`gunicorn "tests.chaos.rigged_web:application()"`: the shipped receiver over a rigged store."""

from __future__ import annotations

from typing import Any

from flask import Flask

from tests.chaos.rigged import rigged_store
from webhook import wsgi
from webhook.app import create_app
from worker.store import Store

application = wsgi.application


def _over_rigged_store(*, store: Store, **parts: Any) -> Flask:
    return create_app(store=rigged_store(store), **parts)


wsgi.create_app = _over_rigged_store  # type: ignore[attr-defined]
