"""The answer to each error, as `application/problem+json` (RFC 9457); no traceback, no secret."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from worker.errors import BucketError, CallsheetError, NoSuchJobError, SpecConflict, SpecError, StoreError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1
SPEC_REFUSED = "the spec cannot be made; errors names each problem"
STORE_SILENT = "Redis does not answer: the same request again is safe"
PLACE = re.compile(r"([A-Za-z_]\w*(?:\[\d+\]|\.\w+)*): ", re.ASCII)


class Problem(CallsheetError):
    """A refusal. *code* is a stable word; *errors* names each bad field."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, tuple(errors)


def register(app: Flask) -> None:
    """Have every exception that leaves a view answered as a problem."""
    app.register_error_handler(Problem, _told)
    app.register_error_handler(SpecError, _bad_spec)
    app.register_error_handler(SpecConflict, _conflict)
    app.register_error_handler(NoSuchJobError, _no_such_job)
    app.register_error_handler(StoreError, _store_silent)
    app.register_error_handler(BucketError, _bucket_silent)
    app.register_error_handler(CallsheetError, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _bug)


def field_error(name: str, detail: str) -> dict[str, str]:
    """One bad field; *name* is its path, such as `shots[0].prompt`."""
    steps = re.findall(r"[^.\[\]]+", name)
    return {"pointer": "".join(f"/{step}" for step in steps), "field": name, "detail": detail}


def spec_errors(problems: Sequence[str]) -> list[dict[str, str]]:
    """The problems of a spec, each with the place that its words begin with."""
    return [_spec_error(problem) for problem in problems]


def _spec_error(problem: str) -> dict[str, str]:
    if problem.startswith("job id: "):
        return field_error("job_id", problem.removeprefix("job id: "))
    found = PLACE.match(problem)
    if found is None or found[1] == "spec":
        return {"pointer": "", "field": "", "detail": problem}
    return field_error(found[1], problem[found.end() :])


def document(status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The problem as it is told."""
    fields: dict[str, Any] = {
        "type": f"urn:callsheet:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return {**fields, "errors": list(errors)} if errors else fields


def of_order(err: CallsheetError) -> dict[str, Any]:
    """Why one order of several was not taken, as its own call would have been answered."""
    if isinstance(err, SpecError):
        return document(400, "spec_refused", SPEC_REFUSED, spec_errors(err.problems))
    if isinstance(err, SpecConflict):
        return document(422, "spec_conflict", str(err))
    if isinstance(err, StoreError):
        return document(503, "store_unavailable", STORE_SILENT)
    return document(409, "refused", str(err))


def answer(status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()) -> Response:
    """The problem as an answer."""
    fields = document(status, code, detail, errors)
    response = Response(json.dumps(fields), status, mimetype="application/problem+json")
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    return response


def _told(err: Problem) -> Response:
    return answer(err.status, err.code, err.detail, err.errors)


def _bad_spec(err: SpecError) -> Response:
    return answer(400, "spec_refused", SPEC_REFUSED, spec_errors(err.problems))


def _conflict(err: SpecConflict) -> Response:
    return answer(422, "spec_conflict", str(err))


def _no_such_job(_err: NoSuchJobError) -> Response:
    return answer(404, "no_such_job", "there is no such job")


def _store_silent(err: StoreError) -> Response:
    log.error("store.unreachable", extra={"reason": str(err)})
    return answer(503, "store_unavailable", STORE_SILENT)


def _bucket_silent(err: BucketError) -> Response:
    log.error("bucket.unreachable", extra={"reason": str(err)})
    return answer(503, "bucket_unavailable", "S3 does not answer: the same request again is safe")


def _refused(err: CallsheetError) -> Response:
    return answer(409, "refused", str(err))


def _http(err: HTTPException) -> Response:
    status = err.code or 500
    if status < 400:  # a redirect of werkzeug's own
        return Response(status=404)
    words = HTTPStatus(status).phrase.lower()
    response = answer(status, words.replace(" ", "_"), err.description or words)
    if isinstance(err, MethodNotAllowed) and err.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(err.valid_methods))
    return response


def _bug(err: Exception) -> Response:
    log.error("request.crashed", extra={"route": request.url_rule and request.url_rule.rule}, exc_info=err)
    return answer(500, "internal_error", "a fault of ours; the log has it by this X-Request-Id")
