"""The page of jobs: counts per state, a search, and rows that stay in their places while they are refreshed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from worker.console.jobs import READS
from worker.console.pages import guard
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.errors import CallsheetError
from worker.jobs.job import is_job_id
from worker.jobs.states import JobState
from worker.operations import terms
from worker.operations.eta import eta
from worker.operations.explain import View
from worker.operations.search import Page, page
from worker.operations.stuck import why_stuck
from worker.operations.view import Reader
from worker.operations.waits import waits_for

ROWS = 32


@dataclass(frozen=True)
class Tab:
    """A state, or all of them, with its count and the view that it leads to."""

    name: str
    count: int
    href: str
    is_current: bool
    percent: float = 0.0


def blueprint(reader: Reader) -> Blueprint:
    bp = Blueprint("jobs_page", __name__)

    @guard.page(bp, "GET", "/", "read")
    def listed() -> Response:
        line, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
        g.now = reader.store.clock.now()
        problems: tuple[str, ...] = ()
        try:
            found = _found(reader, terms.read(line, g.now), cursor)
        except terms.TermsError as err:
            found, problems = Page((), None, None), err.problems
        except CallsheetError as err:
            if cursor is None or not str(err).startswith("cursor: "):
                raise
            raise Problem(400, "query_refused", str(err)) from None
        models = {name: list(provider.models) for name, provider in reader.providers.items()}
        context = {
            "line": line,
            "problems": problems,
            "tabs": _tabs(line, reader.store.lists.counts()),
            "rows": [row(view) for view in found.jobs],
            "older": f"/?{urlencode({'q': line, 'cursor': found.next})}" if found.next else None,
            "newest": f"/?{urlencode({'q': line})}" if line else "/",
            "is_first": cursor is None,
            "searched_to": found.searched_to,
            "suggestions": terms.suggestions(models),
            "meanings": terms.MEANINGS,
        }
        return Response(render("jobs.html", **context), 400 if problems else 200)

    return bp


def row(view: View) -> dict[str, Any]:
    """All that a row shows of one job."""
    return {"job": view.job, "waits": waits_for(view), "eta": eta(view), "stuck": why_stuck(view)}


def _found(reader: Reader, wanted: terms.Terms, cursor: str | None) -> Page:
    with READS:
        if not (wanted.job_id or wanted.request_id):
            return page(reader, wanted.wanted, cursor, ROWS)
        job_id = wanted.job_id or _owner(reader, wanted.request_id)
        view = reader.view(job_id) if is_job_id(job_id) else None
        return Page((view,) if view else (), None, None)


def _owner(reader: Reader, request_id: str) -> str:
    owners = (reader.store.request_ids.owner(provider, request_id) for provider in reader.providers)
    return next((job_id for job_id in owners if job_id), "")


def _tabs(line: str, counts: dict[JobState, int]) -> list[Tab]:
    chosen = [term for term in terms.split(line) if term.startswith("state:")]
    total = sum(counts.values())

    def tab(name: str, count: int) -> Tab:
        href = f"/?{urlencode({'q': wanted})}" if (wanted := terms.with_term(line, "state", name)) else "/"
        is_current = chosen == ([f"state:{name}"] if name else [])
        return Tab(name or "all", count, href, is_current, 100 * count / total if total else 0.0)

    return [tab("", total), *(tab(str(state), counts[state]) for state in JobState)]
