"""The page of providers: what each has, may have and holds back, and its last 24 hours drawn."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.pages import guard
from worker.console.pages.plots import bars, line
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.operations import limits, pause
from worker.operations.provider_day import ProviderDay, days
from worker.operations.view import Reader

SUBMITS = ("taken", "not_taken", "refused", "unconfirmed")
ENDS = ("archived", "failed", "expired")
CALLBACKS = ("stored", "early", "repeat", "noted", "late", "mismatch", "missed")


def blueprint(reader: Reader) -> Blueprint:
    bp = Blueprint("providers_page", __name__)

    @guard.page(bp, "GET", "/providers", "read")
    def shown() -> Response:
        g.now = reader.store.clock.now()
        standings, pauses, of_days = reader.standings(), reader.store.pauses.all(), days(reader)
        told = [
            {
                "name": name,
                "facts": limits.document(standing),
                "sentence": limits.sentence(standing),
                "held_back": limits.held_back(standing),
                "pause": pauses.get(name),
                "day": of_days[name],
                "plots": _plots(of_days[name]),
            }
            for name, standing in standings.items()
        ]
        return Response(render("providers.html", providers=told, submits=SUBMITS, ends=ENDS, callbacks=CALLBACKS))

    @guard.page(bp, "POST", "/providers/<provider>/<any(pause,resume):act>", "operate")
    def act(provider: str, act: str) -> AnyResponse:
        if provider not in reader.providers:
            raise Problem(404, "no_such_provider", "there is no such provider here")
        verb = pause.pause if act == "pause" else pause.resume
        verb(reader.store, provider, auth.actor(request.form.get("reason", "")))
        return redirect(f"/providers#{provider}", 303)

    return bp


def _plots(day: ProviderDay) -> dict[str, Any]:
    slots = day.slots
    longest = max([seconds for slot in slots for seconds in (slot.p50, slot.p90) if seconds], default=0.0)
    return {
        "submits": bars([slot.submits for slot in slots], SUBMITS),
        "ends": bars([slot.ends for slot in slots], ENDS),
        "callbacks": bars([slot.callbacks for slot in slots], CALLBACKS),
        "longest": longest,
        "lines": [
            line("p90", [slot.p90 for slot in slots], longest),
            line("p50", [slot.p50 for slot in slots], longest),
        ],
    }
