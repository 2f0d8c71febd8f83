"""The answer to each exception: one table, JSON only, no traceback.

5xx is a fault of ours, and the provider comes again; everything else is about
what was sent. The bodies are constants, so equal answers are equal bytes.
"""

from __future__ import annotations

import json
import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from worker.errors import CallbackError, ForgedCallbackError, StoreError, UnverifiableCallbackError

log = logging.getLogger(__name__)

WORDS = {
    400: "bad request",
    401: "unauthorized",
    404: "not found",
    405: "method not allowed",
    413: "too large",
    415: "unsupported media type",
    500: "internal error",
    503: "unavailable",
}


def register(app: Flask) -> None:
    """Have every exception that leaves a view answered from the table."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CallbackError, _refused)
    app.register_error_handler(UnverifiableCallbackError, _unverifiable)
    app.register_error_handler(StoreError, _store_silent)
    app.register_error_handler(Exception, _bug)


def route() -> str:
    """The route of the current request, fit for logs: a path may hold a token."""
    return request.url_rule.rule if request.url_rule else "unknown"


def answer(status: int, /, **fields: str | int) -> Response:
    """A JSON answer."""
    return Response(json.dumps(fields), status, mimetype="application/json")


def _error(status: int) -> Response:
    return answer(status, error=WORDS.get(status, "refused"))


def _http(err: HTTPException) -> Response:
    status = err.code or 500
    log.info("request.refused", extra={"route": route(), "method": request.method, "status": status})
    response = _error(status)
    if isinstance(err, MethodNotAllowed) and err.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(err.valid_methods))
    return response


def _refused(err: CallbackError) -> Response:
    status = 401 if isinstance(err, ForgedCallbackError) else 400
    return answer(status, error=WORDS[status], reason=err.reason)


def _unverifiable(_: UnverifiableCallbackError) -> Response:
    return _error(503)


def _store_silent(err: StoreError) -> Response:
    log.error("store.unreachable", extra={"route": route(), "reason": str(err)})
    return _error(503)


def _bug(err: Exception) -> Response:
    log.error("request.crashed", extra={"route": route()}, exc_info=err)
    return _error(500)
