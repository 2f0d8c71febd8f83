"""The page of the system: its processes, what operators did, its settings without secrets, and the doctor on demand."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, g

from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.operations import activity, processes
from worker.operations.doctor.examination import examine, gravest
from worker.operations.settings_shown import shown as settings_shown
from worker.operations.view import Reader
from worker.services import Services

ACTS = 100


def blueprint(reader: Reader, services: Services, env: Mapping[str, str]) -> Blueprint:
    bp = Blueprint("system_page", __name__)

    @guard.page(bp, "GET", "/system", "read")
    def shown() -> Response:
        store = reader.store
        g.now = store.clock.now()
        beats = [beat for beat in store.heartbeats.all() if beat.kind != processes.TICK]
        context = {
            "beats": beats,
            "silent_ms": int(processes.SILENT_SECONDS * 1000),
            "troubles": list(processes.troubles(beats, g.now, takes_callbacks=reader.public_url is not None)),
            "versions": sorted({beat.version for beat in beats}),
            "acts": activity.latest(store, ACTS),
            "settings": settings_shown(services.settings),
            "swept_at": store.due.swept_at(),
        }
        return Response(render("system.html", **context))

    @guard.page(bp, "GET", "/system/doctor", "read")
    def doctor() -> Response:
        found = list(examine(env))
        g.now = reader.store.clock.now()
        verdict = gravest({finding.mark for finding in found})
        return Response(render("doctor.html", found=found, verdict=str(verdict).lower()))

    return bp
