"""The acts on one job: each is first told with its price, and done only after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request

from worker.console import auth
from worker.console.jobs import known_job
from worker.console.pages import guard
from worker.console.pages.command_lines import command_line, curl_line
from worker.console.pages.rendering import render
from worker.console.problems import Problem
from worker.jobs.job import Job
from worker.operations import ask, cancel, renotify, replay, retry
from worker.operations.outcome import Outcome
from worker.operations.view import Reader
from worker.services import Services

ACTS = ("retry", "ask", "cancel", "renotify", "replay")
TITLES = {
    "retry": "Retry",
    "ask": "Ask the provider now",
    "cancel": "Cancel",
    "renotify": "Notify again",
    "replay": "Look at the callback again",
}


@dataclass(frozen=True)
class Asked:
    """One act as a form asks for it."""

    act: str
    pay_again: bool = False
    event_no: int | None = None
    reason: str = ""


def blueprint(reader: Reader, services: Services) -> Blueprint:
    bp = Blueprint("acts_pages", __name__)

    @guard.page(bp, "GET", f"/jobs/<job_id>/<any({','.join(ACTS)}):act>", "operate")
    def preview(job_id: str, act: str) -> Response:
        job, asked = _job(job_id), _asked(act, request.args)
        return Response(_page(job, asked, perform(job.id, asked, services, preview=True)))

    @guard.page(bp, "POST", f"/jobs/<job_id>/<any({','.join(ACTS)}):act>", "operate")
    def do(job_id: str, act: str) -> Response:
        job, asked = _job(job_id), _asked(act, request.form)
        if asked.pay_again:
            auth.need("pay")
        if request.form.get("ver") != str(job.ver):
            foreseen = perform(job.id, asked, services, preview=True)
            return Response(_page(job, asked, foreseen, has_moved=True), 409)
        return Response(_page(job, asked, perform(job.id, asked, services, preview=False)))

    def _job(job_id: str) -> Job:
        known = known_job(reader, job_id)
        g.now = known.view.now
        return known.view.job

    return bp


def perform(job_id: str, asked: Asked, services: Services, *, preview: bool) -> Outcome:
    """Do the act, or foresee it."""
    by = auth.actor(asked.reason)
    if asked.act == "retry":
        return retry.retry(job_id, services, pay_again=asked.pay_again, by=by, preview=preview)
    if asked.act == "replay":
        return replay.replay(job_id, services, event_no=asked.event_no, by=by, preview=preview)
    verb = {"cancel": cancel.cancel, "renotify": renotify.renotify, "ask": ask.ask}[asked.act]
    return verb(job_id, services, by, preview=preview)


def fitting(job: Job, arrivals: int, has_notification: bool) -> list[str]:
    """The acts that can do something for the job, as far as its record tells."""
    found = {
        "retry": job.is_final and str(job.state) != "archived",
        "ask": job.is_open and (str(job.state) in ("unconfirmed", "submitted") or job.look_until is not None),
        "cancel": str(job.state) == "accepted",
        "renotify": job.is_final and has_notification,
        "replay": arrivals > 0 and job.is_open,
    }
    return [act for act in ACTS if found[act]]


def _asked(act: str, given: Any) -> Asked:
    event_no = given.get("event", "")
    if event_no and not (event_no.isascii() and event_no.isdecimal() and 0 < int(event_no) < 1000):
        raise Problem(400, "query_refused", "event must be a number from 1: callbacks are counted from 1")
    is_again = given.get("pay_again") == "1" and act == "retry"
    return Asked(act, is_again, int(event_no) if event_no else None, given.get("reason", ""))


def _page(job: Job, asked: Asked, outcome: Outcome, *, has_moved: bool = False) -> str:
    may_pay_again = asked.act == "retry" and outcome.code == "may_be_paid"
    is_again, event_no = asked.pay_again or may_pay_again, asked.event_no
    origin = request.host_url.rstrip("/")
    return render(
        "act.html",
        job=job,
        asked=asked,
        title=TITLES[asked.act],
        outcome=outcome,
        has_moved=has_moved,
        may_pay_again=may_pay_again,
        command=command_line(asked.act, job.id, pay_again=is_again, event_no=event_no),
        curl=curl_line(origin, asked.act, job.id, pay_again=is_again, event_no=event_no),
    )
