"""The page of money: caps, sums by day, provider, model and tenant, and what nobody knows to be spent."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from worker.console.pages import guard
from worker.console.pages.plots import bars
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.operations import costs
from worker.services import Services

SPANS = ("7d", "30d", "90d", "365d")
USUAL = ("day",)
MOST_ROWS, MOST_EXPOSED = 200, 50
STACK = ("spent", "unknown", "reserved")


def blueprint(services: Services) -> Blueprint:
    bp, store = Blueprint("money_page", __name__), services.store

    @guard.page(bp, "GET", "/money", "read")
    def shown() -> Response:
        g.now = store.clock.now()
        since, by = _since(), _by()
        report = _report(since, by)
        days = costs.report(store, by=("day",), since=since)
        context = {
            "since": since,
            "spans": SPANS,
            "by": by,
            "every": costs.BY,
            "caps": costs.caps(store, services.settings.caps),
            "report": report,
            "rows": report["rows"][:MOST_ROWS],
            "plot": _plot(days),
            "exposure": costs.exposure(store, limit=MOST_EXPOSED),
            "csv": f"/money.csv?{urlencode({'since': since, 'by': ','.join(by)})}",
        }
        return Response(render("money.html", **context))

    @guard.page(bp, "GET", "/money.csv", "read")
    def exported() -> Response:
        since, by = _since(), _by()
        name = f"callsheet-costs-{'-'.join(by) or 'total'}-{since}.csv"
        head = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(costs.csv_text(_report(since, by)), content_type="text/csv; charset=utf-8", headers=head)

    def _report(since: str, by: tuple[str, ...]) -> dict[str, Any]:
        try:
            return costs.report(store, by=by, since=since)
        except costs.CostsError as err:
            raise Problem(400, "query_refused", str(err)) from None

    return bp


def _since() -> str:
    since = request.args.get("since", "30d")
    return since if since in SPANS else "30d"


def _by() -> tuple[str, ...]:
    given = [name for text in request.args.getlist("by") for name in text.split(",") if name]
    return tuple(name for name in costs.BY if name in given) or USUAL


def _plot(report: dict[str, Any]) -> dict[str, Any]:
    """The days from the first to the last, those without any money too."""
    of_days = {row["day"]: {kind: float(Decimal(row[kind]["usd"])) for kind in STACK} for row in report["rows"]}
    first, last = date.fromisoformat(report["since"]), date.fromisoformat(report["until"])
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return {"bars": bars([of_days.get(day, {}) for day in days], STACK), "first": days[0], "last": days[-1]}
