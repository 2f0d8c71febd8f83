"""The page of failures: groups of one code, provider and model, and the retry of a whole group."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.operations import failures
from worker.operations.failures import Group
from worker.operations.view import Reader

USUAL = "24h"


def blueprint(reader: Reader) -> Blueprint:
    bp = Blueprint("failures_page", __name__)

    @guard.page(bp, "GET", "/failures", "read")
    def shown() -> Response:
        span = request.args.get("span", USUAL)
        found = failures.look(reader, span if span in failures.SPANS else USUAL)
        g.now = reader.store.clock.now()
        most = max((group.count for group in found.groups), default=1)
        lines = {group: line(group, found.span) for group in found.groups}
        return Response(
            render("failures.html", found=found, spans=list(failures.SPANS), most=most, lines=lines, encode=urlencode)
        )

    return bp


def line(group: Group, span: str) -> str:
    """The search terms that name the jobs of *group*."""
    state = "state:expired" if group.code == "expired" else f"state:failed code:{group.code}"
    return f"{state} provider:{group.provider} model:{group.model} since:{span}"
