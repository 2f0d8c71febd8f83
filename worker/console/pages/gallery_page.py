"""The gallery: frames of the latest videos in a grid, for people who choose among takes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from worker.console.jobs import READS
from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.errors import CallsheetError
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.operations import terms
from worker.operations.search import Page, page
from worker.operations.view import Reader

TAKES = 24
PROMPT_CHARACTERS = 160


def blueprint(reader: Reader) -> Blueprint:
    bp = Blueprint("gallery_page", __name__)

    @guard.page(bp, "GET", "/gallery", "prompts")
    def gallery() -> Response:
        line, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
        g.now = reader.store.clock.now()
        found = Page((), None, None)
        problems: tuple[str, ...] = ()
        try:
            wanted = terms.read(terms.with_term(line, "state", str(JobState.ARCHIVED)), g.now).wanted
            with READS:
                found = page(reader, wanted, cursor, TAKES)
        except terms.TermsError as err:
            problems = err.problems
        except CallsheetError as err:
            raise Problem(400, "query_refused", str(err)) from None
        context = {
            "line": line,
            "problems": problems,
            "takes": [_take(reader, view.job) for view in found.jobs],
            "older": f"/gallery?{urlencode({'q': line, 'cursor': found.next})}" if found.next else None,
            "providers": list(reader.providers),
        }
        return Response(render("gallery.html", **context), 400 if problems else 200)

    return bp


def _take(reader: Reader, job: Job) -> dict[str, Any]:
    """One job's card: its videos, and what was asked."""
    spec = json.loads(reader.store.history.spec_json(job.id) or "{}")
    prompt = spec.get("prompt") or "; ".join(shot.get("prompt", "") for shot in spec.get("shots") or ())
    return {"job": job, "prompt": str(prompt)[:PROMPT_CHARACTERS], "kind": job.kind.replace("/", " s · ")}
