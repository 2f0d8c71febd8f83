"""The acts on a job. Each answers what was done, or why not, in words."""

from __future__ import annotations

from flask import Blueprint, Response

from worker.console import auth
from worker.console.jobs import answer, known_job
from worker.console.problems import Problem, field_error
from worker.console.requests import fields, query
from worker.operations import cancel, renotify, replay, retry
from worker.operations.outcome import Outcome
from worker.operations.view import Reader
from worker.services import Services


def blueprint(reader: Reader, services: Services) -> Blueprint:
    """The calls that act; the token's name is the actor."""
    bp = Blueprint("acts", __name__)

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/cancel", "operate")
    def cancel_job(job_id: str) -> Response:
        query()
        given = fields(reason=str)
        known_job(reader, job_id)
        return _told(cancel.cancel(job_id, services, auth.actor(given.get("reason", ""))))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/retry", "operate")
    def retry_job(job_id: str) -> Response:
        query()
        given = fields(reason=str, pay_again=bool)
        pay_again = given.get("pay_again", False)
        if pay_again:
            auth.need("pay")
        known_job(reader, job_id)
        by = auth.actor(given.get("reason", ""))
        return _told(retry.retry(job_id, services, pay_again=pay_again, by=by))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/replay", "operate")
    def replay_callback(job_id: str) -> Response:
        query()
        given = fields(reason=str, event=int)
        event_no = given.get("event")
        if event_no is not None and event_no < 1:
            wrong = [field_error("event", "must be 1 or more: callbacks are counted from 1")]
            raise Problem(400, "body_refused", "the body cannot be used; errors names each problem", wrong)
        known_job(reader, job_id)
        by = auth.actor(given.get("reason", ""))
        return _told(replay.replay(job_id, services, event_no=event_no, by=by))

    @auth.call(bp, "POST", "/v1/jobs/<job_id>/renotify", "operate")
    def notify_again(job_id: str) -> Response:
        query()
        fields()
        known_job(reader, job_id)
        return _told(renotify.renotify(job_id, services))

    return bp


def _told(outcome: Outcome) -> Response:
    return answer({**outcome.document(), "done": outcome.is_done})
