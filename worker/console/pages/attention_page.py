"""The page for three in the morning: what needs somebody, why, since when, and the act that helps."""

from __future__ import annotations

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.operations import attention
from worker.operations.view import Reader


def blueprint(reader: Reader) -> Blueprint:
    bp = Blueprint("attention_page", __name__)

    @guard.page(bp, "GET", "/attention", "read")
    def shown() -> Response:
        with_seen = request.args.get("seen") == "1"
        found = attention.look(reader, with_seen=with_seen)
        g.now = found.now
        return Response(render("attention.html", found=found, with_seen=with_seen))

    @guard.page(bp, "POST", "/attention/seen", "operate")
    def seen() -> AnyResponse:
        attention.mark_seen(reader, request.form.getlist("item"), auth.actor(), request.form.get("note", ""))
        return redirect("/attention", 303)

    return bp
