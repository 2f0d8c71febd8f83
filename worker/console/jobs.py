"""The calls on jobs: order one, look at one, list many, fetch a video."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from worker.client import enqueue
from worker.console import auth
from worker.console.problems import Problem, field_error
from worker.console.requests import bad_query, body, number, query
from worker.console.watcher import Watcher
from worker.errors import CallsheetError, NoSuchJobError, SpecError
from worker.jobs.durations import iso
from worker.jobs.job import is_job_id
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations import replay
from worker.operations.job_document import Details, details, document, row
from worker.operations.search import MOST_JOBS, Filter, page
from worker.operations.view import Reader
from worker.services import Services
from worker.steps.accept import BAD_ID

LINK_SECONDS = 600
MOST_WAIT_SECONDS = 60
READS = threading.BoundedSemaphore(16)
"""Jobs that are read at once: each takes a connection to Redis, and 200 that are woken together wait their turn."""
NEXT_LOOK_SECONDS = (1, 60)
"""Least and most that `Retry-After` tells."""
FLAGS = ("open", "differs", "stuck", "dead_notification")
TEXTS = ("provider", "model", "tenant", "error_code")


def blueprint(reader: Reader, services: Services, watcher: Watcher) -> Blueprint:
    """The calls below `/v1/jobs`."""
    bp = Blueprint("jobs", __name__)

    @auth.call(bp, "POST", "/v1/jobs", "submit")
    def order() -> Response:
        spec = body()
        job_id = _wanted_id(spec)
        enqueue(spec, job_id, services=services)
        response = _told(known_job(reader, job_id), 202)
        response.headers["Location"] = f"/v1/jobs/{job_id}"
        return response

    @auth.call(bp, "GET", "/v1/jobs/<job_id>", "read")
    def show(job_id: str) -> Response:
        seconds = number(query("wait"), "wait", 1, MOST_WAIT_SECONDS)
        if seconds is not None and (version := watcher.version(job_id)) is not None and _is_known(version):
            watcher.wait(job_id, version, seconds)
        return _told(known_job(reader, job_id), 200)

    @auth.call(bp, "GET", "/v1/jobs", "read")
    def listed() -> Response:
        wanted, cursor, limit = _asked()
        try:
            found = page(reader, wanted, cursor, limit)
        except CallsheetError as err:
            if cursor is not None and str(err).startswith("cursor: "):
                raise bad_query([field_error("cursor", str(err).removeprefix("cursor: "))]) from None
            raise
        searched_to = None if found.searched_to is None else iso(found.searched_to)
        return answer({"jobs": [row(view) for view in found.jobs], "next": found.next, "searched_to": searched_to})

    @auth.call(bp, "GET", "/v1/jobs/<job_id>/timeline", "read")
    def timeline(job_id: str) -> Response:
        query()
        return answer({"timeline": [happening.document() for happening in known_job(reader, job_id).timeline]})

    @auth.call(bp, "GET", "/v1/jobs/<job_id>/notifications", "read")
    def notifications(job_id: str) -> Response:
        query()
        told = document(known_job(reader, job_id))
        return answer({"notification": told["notification"], "deliveries": told["deliveries"]})

    @auth.call(bp, "GET", "/v1/jobs/<job_id>/arrivals", "read")
    def arrivals(job_id: str) -> Response:
        query()
        known_job(reader, job_id)
        return answer({"arrivals": replay.kept_events(job_id, reader.store)})

    @auth.call(bp, "GET", "/v1/jobs/<job_id>/videos/<int:n>", "prompts")
    def video(job_id: str, n: int) -> Response:
        query()
        videos = known_job(reader, job_id).view.job.videos
        if not 1 <= n <= len(videos):
            raise Problem(404, "no_such_video", f"{job_id} has {len(videos)} videos, counted from 1")
        link = services.bucket.presign(videos[n - 1].uri, LINK_SECONDS)
        return Response(status=302, headers={"Location": link})

    return bp


def answer(document: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(document), status, mimetype="application/json")


def known_job(reader: Reader, job_id: str) -> Details:
    """All that is known of the job; 404 where there is none, or *job_id* names none."""
    with READS:
        known = details(reader, job_id) if is_job_id(job_id) else None
    if known is None:
        raise NoSuchJobError(job_id)
    return known


def _told(known: Details, status: int) -> Response:
    """The job's document, or 304 where the caller has that version. Spec only for tokens that may see it."""
    job = known.view.job
    if request.method == "GET" and _is_known(job.ver):
        response = Response(status=304)
    else:
        told = document(known)
        if not auth.has("prompts"):
            del told["spec"]
        response = answer(told, status)
    response.set_etag(str(job.ver))
    if known.view.due_at is not None and job.is_open:
        least, most = NEXT_LOOK_SECONDS
        response.headers["Retry-After"] = str(min(most, max(least, (known.view.due_at - known.view.now) // 1000)))
    return response


def _is_known(version: int) -> bool:
    return request.if_none_match.contains_weak(str(version))


def _wanted_id(spec: dict[str, Any]) -> str:
    """The id of the job that is ordered, taken out of *spec*; a new one where none is given."""
    in_body, in_header = spec.pop("job_id", None), request.headers.get("Idempotency-Key")
    if in_header is not None:
        in_header = in_header.strip().removeprefix('"').removesuffix('"')
    if None not in (in_body, in_header) and in_body != in_header:
        raise SpecError(["job id: is another than that of Idempotency-Key: give one of them"])
    wanted = in_header if in_body is None else in_body
    if wanted is None:
        return str(uuid.uuid4())
    if not isinstance(wanted, str):
        raise SpecError([BAD_ID])
    return wanted


def _asked() -> tuple[Filter, str | None, int]:
    """The filter, cursor and limit of a list's query."""
    given = query(*TEXTS, *FLAGS, "state", "since", "until", "waits_for", "cursor", "limit", prefix="metadata.")
    wrong: list[dict[str, str]] = []
    flags = {name: _flag(given, name, wrong) for name in FLAGS}
    states = [word for word in given.get("state", "").split(",") if word]
    if set(states) - set(JobState):
        wrong.append(field_error("state", f"must be of {', '.join(JobState)}, comma-separated"))
    if "waits_for" in given and given["waits_for"] not in set(WaitCode):
        wrong.append(field_error("waits_for", f"must be one of {', '.join(WaitCode)}"))
    since, until = _instant(given, "since", wrong), _instant(given, "until", wrong)
    if wrong:
        raise bad_query(wrong)
    wanted = Filter(
        states=frozenset(map(JobState, states)),
        **{name: given.get(name) for name in TEXTS},
        since=since,
        until=until,
        metadata=tuple((name[9:], value) for name, value in given.items() if name.startswith("metadata.")),
        is_open=flags["open"],
        differs=bool(flags["differs"]),
        stuck=bool(flags["stuck"]),
        waits_for=WaitCode(given["waits_for"]) if "waits_for" in given else None,
        dead_notification=bool(flags["dead_notification"]),
    )
    return wanted, given.get("cursor"), number(given, "limit", 1, MOST_JOBS) or 50


def _flag(given: Mapping[str, str], name: str, wrong: list[dict[str, str]]) -> bool | None:
    if given.get(name, "true") not in ("true", "false"):
        wrong.append(field_error(name, "must be true or false"))
    return given[name] == "true" if name in given else None


def _instant(given: Mapping[str, str], name: str, wrong: list[dict[str, str]]) -> int | None:
    """Unix ms of an RFC 3339 instant of the query."""
    if name not in given:
        return None
    try:
        at = datetime.fromisoformat(given[name])
        if at.tzinfo is not None:
            return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        pass
    wrong.append(field_error(name, "must be an instant with its offset, such as 2026-12-01T08:00:00Z"))
    return None
