"""The Flask application of the HTTP API, and its composition from the environment."""

from __future__ import annotations

import atexit
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flask import Flask, Response, g, request

from worker.console import acts, auth, bulks, costs, jobs, orders, pages, problems, system
from worker.console.openapi import document as openapi
from worker.console.requests import BODY_BYTES
from worker.console.watcher import Watcher
from worker.errors import CallsheetError
from worker.heartbeat import Heart
from worker.logs import bound, configure
from worker.operations.view import Reader
from worker.services import Services, open_store
from worker.settings.settings import Settings

log = logging.getLogger(__name__)

APP_LOAD_ERROR = 4
"""The exit status of a worker after which gunicorn ends as well, instead of trying again for ever."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
HEARTBEAT_SECONDS = 1.0
"""The longest time that a silent Redis holds up one sign of life."""
ID_IN_ENVIRON = "callsheet.request_id"


def application(env: Mapping[str, str] = os.environ) -> Flask:
    """Return the API for *env*, logging to stderr; end the process, with one line, where *env* cannot be used."""
    try:
        settings = Settings.from_env(env)
        services, reader = Services.from_settings(settings, name="callsheet-console"), Reader.from_env(env)
    except CallsheetError as err:
        print(err, file=sys.stderr)  # noqa: T201  nothing is set up yet that could log
        raise SystemExit(APP_LOAD_ERROR) from None
    logging.basicConfig(level=logging.INFO)
    configure(logging.getLogger(), settings.log_format)
    if not settings.api_tokens:
        log.warning("console.closed", extra={"reason": "CALLSHEET_API_TOKENS is not set: nobody is served"})
    heart = Heart(["console"], partial(open_store, settings, timeout_seconds=HEARTBEAT_SECONDS))
    atexit.register(heart.stop)
    heart.start_thread()
    return create_app(reader=reader, services=services, env=env)


def create_app(*, reader: Reader, services: Services, env: Mapping[str, str]) -> Flask:
    """Put the application together from its parts; connects to nothing before the first request."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.url_map.merge_slashes = False
    auth.register(app, services.settings.api_tokens, are_metrics_open=services.settings.metrics_open)
    problems.register(app)
    app.register_blueprint(system.health(reader))
    app.register_blueprint(jobs.blueprint(reader, services, Watcher(reader.store)))
    app.register_blueprint(orders.blueprint(reader, services))
    app.register_blueprint(system.scrape(services))
    app.register_blueprint(openapi.blueprint())
    app.register_blueprint(bulks.blueprint(reader, services))
    app.register_blueprint(acts.blueprint(services))
    app.register_blueprint(costs.blueprint(reader, services))
    app.register_blueprint(system.blueprint(reader, env))
    pages.register(app, reader, services, env)
    app.after_request(_finished)
    app.wsgi_app = _Traced(app.wsgi_app)  # type: ignore[method-assign]
    return app


class _Traced:
    """Binds the request's id, the caller's own where it is fit for a log, to all that is logged for it."""

    def __init__(self, serve: Callable[..., Iterable[bytes]]) -> None:
        self._serve = serve

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        environ[ID_IN_ENVIRON] = request_id
        environ["callsheet.began"] = time.monotonic()
        with bound(http_request=request_id):
            return self._serve(environ, start_response)


def _finished(response: Response) -> Response:
    """Give the answer its common headers, and the log its line: the route, never the path or a header."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Request-Id"] = request.environ[ID_IN_ENVIRON]
    token = g.get("token")
    told = {
        "route": request.url_rule.rule if request.url_rule else "unknown",
        "method": request.method if request.url_rule else "unknown",
        "status": response.status_code,
        "token": token.name if token else "none",
        "milliseconds": round((time.monotonic() - request.environ["callsheet.began"]) * 1000),
    }
    log.info("request.answered", extra=told)
    return response
