"""Acts on many jobs: first told with their sum, then done by the clock, watched and stopped on a page of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.pages import guard
from worker.console.pages.acts_pages import TITLES
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.operations import bulk, terms
from worker.operations.bulk import Act, Order
from worker.operations.view import Reader
from worker.services import Services

RESULTS = 100
MOST_OFFSET = 1_000_000


def blueprint(reader: Reader, services: Services) -> Blueprint:
    bp = Blueprint("bulk_pages", __name__)

    @guard.page(bp, "GET", "/bulk/new", "operate")
    def of_a_search() -> Response:
        return _preview(request.args.get("act", ""), request.args.get("q", ""), ())

    @guard.page(bp, "POST", "/bulk", "operate")
    def of_a_selection() -> Response:
        given = request.form
        job_ids = () if given.get("matching") == "1" else tuple(given.getlist("job"))
        return _preview(given.get("act", ""), given.get("q", ""), job_ids, is_selection=given.get("matching") != "1")

    @guard.page(bp, "POST", "/bulk/start", "operate")
    def start() -> AnyResponse:
        order = _ordered(request.form.get("order", ""))
        if request.form.get("pay_again") == "1":
            auth.need("pay")
            order = replace(order, pay_again=True)
        elif order.pay_again:
            order = replace(order, pay_again=False)
        by = auth.actor(request.form.get("reason", ""))
        bulk_id = bulk.start(bulk.checked(order), by, reader, services)
        return redirect(f"/bulk/{bulk_id}", 303)

    @guard.page(bp, "GET", "/bulk/<bulk_id>", "read")
    def shown(bulk_id: str) -> Response:
        g.now = reader.store.clock.now()
        first = request.args.get("cursor", "0")
        is_number = first.isascii() and first.isdecimal() and len(first) < 7
        told = _known(bulk.told(bulk_id, services, first=int(first) if is_number else 0, most=RESULTS))
        return Response(render("bulk.html", told=told, title=TITLES[told["act"]]))

    @guard.page(bp, "POST", "/bulk/<bulk_id>/stop", "operate")
    def stop(bulk_id: str) -> AnyResponse:
        _known(bulk.stop(bulk_id, services))
        return redirect(f"/bulk/{bulk_id}", 303)

    def _preview(act: str, line: str, job_ids: tuple[str, ...], *, is_selection: bool = False) -> Response:
        g.now = reader.store.clock.now()
        if act not in set(Act):
            raise Problem(400, "query_refused", f"act must be one of {', '.join(Act)}")
        if is_selection and not job_ids:
            raise Problem(400, "body_refused", "no job is selected: tick some, or all that match")
        order = Order(Act(act), None if is_selection else terms.read(line, g.now).wanted, job_ids)
        told = bulk.preview(bulk.checked(order), reader, services)
        kept = {name: told[name] for name in ("act", "filter", "named", "pay_again") if name in told}
        context = {
            "told": told,
            "act": act,
            "title": TITLES[act],
            "order": json.dumps(kept),
            "back": f"/?{urlencode({'q': line})}" if line else "/",
        }
        return Response(render("bulk_new.html", **context))

    return bp


def _known(told: dict[str, Any] | None) -> dict[str, Any]:
    if told is None:
        raise Problem(404, "no_such_bulk", "there is no such bulk act; they are kept for 7 days")
    return told


def _ordered(text: str) -> Order:
    """The order that a preview put into its form."""
    try:
        kept = json.loads(text)
        if isinstance(kept, Mapping):
            return bulk.read_order(kept)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise Problem(400, "body_refused", "the order cannot be read: begin at the list of jobs again")
