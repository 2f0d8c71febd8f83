"""The call on money: `GET /v1/costs`, as JSON or CSV."""

from __future__ import annotations

from flask import Blueprint, Response

from worker.console import auth
from worker.console.jobs import answer
from worker.console.problems import field_error
from worker.console.requests import bad_query, query
from worker.operations import costs
from worker.operations.view import Reader
from worker.services import Services

FORMATS = ("json", "csv")


def blueprint(reader: Reader, services: Services) -> Blueprint:
    """Sums by what is asked for, and today and this month against the caps."""
    bp = Blueprint("costs", __name__)

    @auth.call(bp, "GET", "/v1/costs", "read")
    def told() -> Response:
        given = query("by", "since", "until", "format")
        form = given.get("format", "json")
        if form not in FORMATS:
            raise bad_query([field_error("format", f"must be {' or '.join(FORMATS)}")])
        by = [name.strip() for name in given.get("by", "day").split(",") if name.strip()]
        try:
            report = costs.report(reader.store, by, given.get("since", costs.DEFAULT_SINCE), given.get("until"))
        except costs.CostsError as err:
            raise bad_query([field_error(err.field, err.detail)]) from None
        if form == "json":
            return answer({**report, "caps": costs.caps(reader.store, services.settings.caps)})
        response = Response(costs.csv_text(report), mimetype="text/csv")
        response.headers["Content-Disposition"] = (
            f'attachment; filename="costs-{report["since"]}-{report["until"]}.csv"'
        )
        return response

    return bp
