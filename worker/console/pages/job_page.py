"""The page of one job: its videos, its way to scale, its wait, its money, and the acts on it with their price."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, g, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from worker.console import auth
from worker.console.jobs import LINK_SECONDS, known_job
from worker.console.pages import acts_pages, guard
from worker.console.pages.command_lines import command_line, curl_line
from worker.console.pages.jobs_page import row
from worker.console.pages.lanes import LANES, draw
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.jobs.money import costs_of
from worker.operations import replay
from worker.operations.explain import why_failed
from worker.operations.job_document import Details, document
from worker.operations.view import Reader
from worker.services import Services


def blueprint(reader: Reader, services: Services) -> Blueprint:
    bp = Blueprint("job_page", __name__)

    @guard.page(bp, "GET", "/jobs/<job_id>", "read")
    def show(job_id: str) -> Response:
        known = known_job(reader, job_id)
        g.now = known.view.now
        return Response(render("job.html", **_context(known, reader)))

    @guard.page(bp, "GET", "/jobs/<job_id>/videos/<int:n>", "prompts")
    def video(job_id: str, n: int) -> AnyResponse:
        videos = known_job(reader, job_id).view.job.videos
        if not 1 <= n <= len(videos):
            raise Problem(404, "no_such_video", f"{job_id} has {len(videos)} videos, counted from 1")
        return redirect(services.bucket.presign(videos[n - 1].uri, LINK_SECONDS), 302)

    return bp


def _context(known: Details, reader: Reader) -> dict[str, Any]:
    job, told = known.view.job, document(known)
    origin = request.host_url.rstrip("/")
    arrivals = replay.kept_events(job.id, reader.store)
    if not auth.has("prompts"):
        del told["spec"]
    return {
        **row(known.view),
        "known": known,
        "why_failed": why_failed(job),
        "drawing": draw(known),
        "lanes": LANES,
        "arrivals": arrivals,
        "attempts": costs_of(job.money).get("attempts", ()),
        "deeds": [
            (act, acts_pages.TITLES[act], command_line(act, job.id), curl_line(origin, act, job.id))
            for act in acts_pages.fitting(job, len(arrivals), job.notified_ver is not None)
        ],
        "json_text": json.dumps(told, indent=2, ensure_ascii=False),
    }
