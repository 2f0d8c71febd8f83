"""The calls on bulk acts: preview one, start it, follow it, stop it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from worker.console import auth
from worker.console.jobs import answer
from worker.console.problems import Problem, field_error
from worker.console.requests import body, number, query, refuse_unknown
from worker.errors import CallsheetError
from worker.operations import bulk
from worker.operations.bulk import Act, Order
from worker.operations.filters import FilterError, read_filter
from worker.operations.search import MOST_JOBS
from worker.operations.view import Reader
from worker.services import Services

FIELDS = {"act": str, "filter": dict, "jobs": list, "preview": bool, "pay_again": bool, "reason": str}


def blueprint(reader: Reader, services: Services) -> Blueprint:
    """`/v1/bulk`."""
    bp = Blueprint("bulks", __name__)

    @auth.call(bp, "POST", "/v1/bulk", "operate")
    def begin() -> Response:
        query()
        given = body()
        order = _order(given)
        if order.pay_again:
            auth.need("pay")
        if given.get("preview"):
            return answer(bulk.preview(order, reader, services))
        bulk_id = bulk.start(order, auth.actor(given.get("reason", "")), reader, services)
        response = answer(_found(bulk.told(bulk_id, services)), 202)
        response.headers["Location"] = f"/v1/bulk/{bulk_id}"
        return response

    @auth.call(bp, "GET", "/v1/bulk", "read")
    def listed() -> Response:
        query()
        return answer({"bulks": bulk.every(services)})

    @auth.call(bp, "GET", "/v1/bulk/<bulk_id>", "read")
    def show(bulk_id: str) -> Response:
        given = query("cursor", "limit")
        first = number(given, "cursor", 0, bulk.MOST_JOBS) or 0
        most = number(given, "limit", 1, MOST_JOBS) or MOST_JOBS
        return answer(_found(bulk.told(bulk_id, services, first=first, most=most)))

    @auth.call(bp, "DELETE", "/v1/bulk/<bulk_id>", "operate")
    def stop(bulk_id: str) -> Response:
        query()
        return answer(_found(bulk.stop(bulk_id, services)))

    return bp


def _found(told: dict[str, Any] | None) -> dict[str, Any]:
    if told is None:
        raise Problem(404, "no_such_bulk", "there is no such bulk act (any more)")
    return told


def _order(given: dict[str, Any]) -> Order:
    """The order of a body; one that cannot be meant is refused with each bad field."""
    refuse_unknown(given, tuple(FIELDS))
    mistyped = [name for name in given if type(given[name]) is not FIELDS[name]]
    wrong = [field_error(name, f"must be {_WORDS[FIELDS[name]]}") for name in mistyped]
    if "act" not in mistyped and given.get("act") not in set(Act):
        wrong.append(field_error("act", f"must be one of {', '.join(Act)}"))
    if ("filter" in given) == ("jobs" in given):
        wrong.append(field_error("filter", "give either filter or jobs"))
    wanted = None
    if not wrong and "filter" in given:
        try:
            wanted = read_filter(given["filter"])
        except FilterError as err:
            wrong = [field_error(f"filter.{name}", why) for name, why in err.problems]
    if not wrong:
        try:
            order = Order(Act(given["act"]), wanted, tuple(given.get("jobs", ())), given.get("pay_again", False))
            return bulk.checked(order)
        except CallsheetError as err:
            name, _, why = str(err).partition(": ")
            wrong = [field_error(name, why)]
    raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)


_WORDS = {str: "text", bool: "true or false", dict: "an object", list: "a list"}
