"""The acts on a job. Each answers what was done, or why not, in words, and what that costs; so does its preview."""

from __future__ import annotations

from flask import Blueprint, Response

from worker.console import auth
from worker.console.jobs import answer
from worker.console.problems import Problem, field_error
from worker.console.requests import fields, flag, query
from worker.jobs.actor import Actor
from worker.operations import ask, cancel, renotify, replay, retry
from worker.operations.outcome import Outcome
from worker.services import Services


def blueprint(services: Services) -> Blueprint:
    """The calls that act; the token's name is the actor. With `?preview=1` nothing is done."""
    bp = Blueprint("acts", __name__)

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/cancel", "operate")
    def cancel_job(job_id: str) -> Response:
        preview, by = _asked(fields(reason=str))
        return _told(cancel.cancel(job_id, services, by, preview=preview))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/retry", "operate")
    def retry_job(job_id: str) -> Response:
        given = fields(reason=str, pay_again=bool)
        preview, by = _asked(given)
        pay_again = given.get("pay_again", False)
        if pay_again:
            auth.need("pay")
        return _told(retry.retry(job_id, services, pay_again=pay_again, by=by, preview=preview))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/replay", "operate")
    def replay_callback(job_id: str) -> Response:
        given = fields(reason=str, event=int)
        preview, by = _asked(given)
        event_no = given.get("event")
        if event_no is not None and event_no < 1:
            wrong = [field_error("event", "must be 1 or more: callbacks are counted from 1")]
            raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)
        return _told(replay.replay(job_id, services, event_no=event_no, by=by, preview=preview))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/renotify", "operate")
    def notify_again(job_id: str) -> Response:
        preview, by = _asked(fields(reason=str))
        return _told(renotify.renotify(job_id, services, by, preview=preview))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/ask", "operate")
    def ask_provider(job_id: str) -> Response:
        preview, by = _asked(fields(reason=str))
        return _told(ask.ask(job_id, services, by, preview=preview))

    return bp


def _asked(given: dict[str, str]) -> tuple[bool, Actor]:
    """Whether the request wants a preview, and who acts and why."""
    return flag(query("preview"), "preview"), auth.actor(given.get("reason", ""))


def _told(outcome: Outcome) -> Response:
    return answer(outcome.document())
