"""The calls on orders beside that of a single job: batches and quotes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from worker.client import enqueue
from worker.console import auth
from worker.console.jobs import answer
from worker.console.problems import Problem, field_error, of_order, spec_errors
from worker.console.requests import body, query, refuse_unknown
from worker.errors import CallsheetError
from worker.guard.bounded_json import BATCH_BOUNDS
from worker.operations import batch
from worker.operations.quote import quote
from worker.operations.view import Reader
from worker.services import Services


def blueprint(reader: Reader, services: Services) -> Blueprint:
    """`/v1/batches` and `/v1/quotes`."""
    bp = Blueprint("orders", __name__)

    @auth.call(bp, "POST", "/v1/batches", "submit")
    def order() -> Response:
        query()
        orders = _orders(body(bounds=BATCH_BOUNDS))
        batch_id = _wanted_id()
        items = batch.order(batch_id, orders, _take, services)
        response = answer({"batch": batch_id, "jobs": [_told(item) for item in items]}, 202)
        response.headers["Location"] = f"/v1/batches/{batch_id}"
        return response

    def _take(spec: Any, job_id: str, batch_id: str) -> None:
        enqueue(spec, job_id, services=services, batch=batch_id)

    @auth.call(bp, "GET", "/v1/batches/<batch_id>", "read")
    def show(batch_id: str) -> Response:
        query()
        told = batch.told(batch_id, services.store)
        if told is None:
            raise Problem(404, "no_such_batch", "there is no such batch")
        return answer(told)

    @auth.call(bp, "POST", "/v1/quotes", "submit")
    def price() -> Response:
        query()
        told = quote(body(), reader, services)
        return answer({**told, "problems": spec_errors(told["problems"])})

    return bp


def _orders(given: dict[str, Any]) -> list[Any]:
    refuse_unknown(given, ("jobs",))
    orders = given.get("jobs")
    if not isinstance(orders, list) or not 1 <= len(orders) <= batch.MOST_JOBS:
        wrong = [field_error("jobs", f"must be a list of 1 to {batch.MOST_JOBS} specs")]
        raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)
    return orders


def _wanted_id() -> str:
    """The id of the batch: the caller's Idempotency-Key, or a new one."""
    given = request.headers.get("Idempotency-Key")
    if given is not None:
        given = given.strip().removeprefix('"').removesuffix('"')
    try:
        return batch.checked_batch_id(given)
    except CallsheetError as err:
        wrong = [field_error("Idempotency-Key", str(err).removeprefix("batch id: "))]
        raise Problem(400, "header_refused", "the header cannot be used; errors says why", wrong) from None


def _told(item: batch.Item) -> dict[str, Any]:
    told = {"n": item.n, "job_id": item.job_id or None, "accepted": item.error is None}
    return told if item.error is None else {**told, "problem": of_order(item.error)}
