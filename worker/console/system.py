"""The calls on the whole system: providers, models, the doctor's findings, health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from worker.console import auth
from worker.console.jobs import answer
from worker.console.problems import Problem
from worker.console.requests import fields, query
from worker.errors import StoreError
from worker.jobs.durations import iso
from worker.operations import limits, metrics, models, pause
from worker.operations.doctor.examination import examine, gravest
from worker.operations.pause import Paused
from worker.operations.view import Reader
from worker.services import Services


def health(reader: Reader) -> Blueprint:
    """`/live` and `/ready`, for whoever asks."""
    bp = Blueprint("health", __name__)

    @bp.get("/live", provide_automatic_options=False)
    def live() -> Response:
        return answer({"status": "live"})

    @bp.get("/ready", provide_automatic_options=False)
    def ready() -> Response:
        """503 exactly when Redis does not answer; it is read only, as anybody may come here."""
        try:
            reader.store.clock.now()
        except StoreError:
            return answer({"status": "not ready", "redis": "down"}, 503)
        return answer({"status": "ready", "redis": "up"})

    return bp


def scrape(services: Services) -> Blueprint:
    """`/metrics`, for Prometheus."""
    bp = Blueprint("metrics", __name__)

    @auth.call(bp, "GET", "/metrics", "read")
    def scrape() -> Response:
        query()
        return Response(metrics.exposition(services.settings, services.store), content_type=metrics.CONTENT_TYPE)

    return bp


def blueprint(reader: Reader, env: Mapping[str, str]) -> Blueprint:
    """The calls on providers, models and the system's soundness."""
    bp = Blueprint("system", __name__)

    @auth.call(bp, "GET", "/v1/providers", "read")
    def listed() -> Response:
        query()
        pauses = reader.store.pauses.all()
        told = [
            {"provider": name, "paused": _pause(pauses.get(name)), **limits.document(standing)}
            for name, standing in reader.standings().items()
        ]
        return answer({"providers": told})

    @auth.call(bp, "POST", "/v1/providers/<provider>/pause", "operate")
    def hold(provider: str) -> Response:
        query()
        reason = fields(reason=str).get("reason", "")
        return _told(pause.pause(reader.store, _configured(provider), auth.actor(reason)))

    @auth.call(bp, "POST", "/v1/providers/<provider>/resume", "operate")
    def let_go(provider: str) -> Response:
        query()
        reason = fields(reason=str).get("reason", "")
        return _told(pause.resume(reader.store, _configured(provider), auth.actor(reason)))

    @auth.call(bp, "GET", "/v1/models", "read")
    def catalogue() -> Response:
        query()
        return answer({"models": [models.document(rules) for rules in models.all_models(reader.providers)]})

    @auth.call(bp, "GET", "/v1/doctor", "read")
    def doctor() -> Response:
        query()
        found = list(examine(env))
        told = [{"mark": f.mark.lower(), "what": f.what, "seen": f.seen, "advice": f.advice or None} for f in found]
        return answer({"verdict": gravest({finding.mark for finding in found}).lower(), "findings": told})

    def _configured(provider: str) -> str:
        if provider not in reader.providers:
            raise Problem(
                404, "no_such_provider", f"there is no such provider here; there is {', '.join(reader.providers)}"
            )
        return provider

    return bp


def _told(paused: Paused) -> Response:
    return answer(
        {
            "provider": paused.provider,
            "paused": paused.since is not None,
            "since": None if paused.since is None else iso(paused.since),
            "waiting": paused.waiting,
            "was_paused": paused.was_paused,
        }
    )


def _pause(held: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if held is None:
        return None
    return {"since": iso(held["since"]), "by": held.get("by"), "reason": held.get("reason")}
