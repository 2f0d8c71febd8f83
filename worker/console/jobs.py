"""The calls on jobs: order one, look at one, list many, fetch a video."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from worker.client import enqueue
from worker.console import auth
from worker.console.problems import Problem, field_error
from worker.console.requests import bad_query, body, flag, number, query
from worker.console.shared_reads import SharedReads
from worker.console.watcher import Watcher
from worker.errors import CallsheetError, NoSuchJobError, SpecError
from worker.jobs.durations import iso
from worker.jobs.job import Job, is_job_id
from worker.operations import replay
from worker.operations.filters import NAMES, FilterError, read_filter
from worker.operations.job_document import Details, details, document, row
from worker.operations.search import MOST_JOBS, Filter, page
from worker.operations.view import Reader
from worker.services import Services
from worker.steps.accept import BAD_ID

LINK_SECONDS = 600
MOST_WAIT_SECONDS = 60
READS = threading.BoundedSemaphore(16)
"""Jobs that are read at once: each takes a connection to Redis."""
NEXT_LOOK_SECONDS = (1, 60)
"""Least and most that `Retry-After` tells."""


def blueprint(reader: Reader, services: Services, watcher: Watcher) -> Blueprint:
    """The calls below `/v1/jobs`."""
    bp = Blueprint("jobs", __name__)
    reads = SharedReads(partial(_read, reader))

    @auth.call(bp, "POST", "/v1/jobs", "submit")
    def order() -> Response:
        spec = body()
        job_id = _wanted_id(spec)
        enqueue(spec, job_id, services=services)
        response = _told(reads.get(job_id), 202)
        response.headers["Location"] = f"/v1/jobs/{job_id}"
        return response

    @auth.call(bp, "GET", "/v1/jobs/<job_id>", "read")
    def show(job_id: str) -> Response:
        seconds = number(query("wait"), "wait", 1, MOST_WAIT_SECONDS)
        if seconds is not None and (version := watcher.version(job_id)) is not None and _is_known(version):
            watcher.wait(job_id, version, seconds)
        return _told(reads.get(job_id), 200)

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
        existing(reader, job_id)
        return answer({"arrivals": replay.kept_events(job_id, reader.store)})

    @auth.call(bp, "GET", "/v1/jobs/<job_id>/videos/<int:n>", "prompts")
    def video(job_id: str, n: int) -> Response:
        is_download = flag(query("download"), "download")
        videos = existing(reader, job_id).videos
        if not 1 <= n <= len(videos):
            raise Problem(404, "no_such_video", f"{job_id} has {len(videos)} videos, counted from 1")
        uri = videos[n - 1].uri
        name = f"{job_id}-{n}.{uri.rpartition('.')[2]}" if is_download else None
        link = services.bucket.presign(uri, LINK_SECONDS, filename=name)
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


def existing(reader: Reader, job_id: str) -> Job:
    """The job's record alone; 404 where there is none."""
    job = reader.store.jobs.get(job_id) if is_job_id(job_id) else None
    if job is None:
        raise NoSuchJobError(job_id)
    return job


@dataclass(frozen=True)
class _Told:
    """A job as it is answered, written out once for all who share the read. Seconds are until its next look."""

    ver: int
    seconds: int | None
    text: str
    text_without_spec: str


def _read(reader: Reader, job_id: str) -> _Told:
    known = known_job(reader, job_id)
    view, told = known.view, document(known)
    spec = told.pop("spec")
    without = json.dumps(told)
    seconds = None if view.due_at is None or not view.job.is_open else (view.due_at - view.now) // 1000
    return _Told(view.job.ver, seconds, f'{{"spec": {json.dumps(spec)}, {without[1:]}', without)


def _told(told: _Told, status: int) -> Response:
    """The job's document, or 304 where the caller has that version. Spec only for tokens that may see it."""
    if request.method == "GET" and _is_known(told.ver):
        response = Response(status=304)
    else:
        text = told.text if auth.has("prompts") else told.text_without_spec
        response = Response(text, status, mimetype="application/json")
    response.set_etag(str(told.ver))
    if told.seconds is not None:
        least, most = NEXT_LOOK_SECONDS
        response.headers["Retry-After"] = str(min(most, max(least, told.seconds)))
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
    given = query(*(name for name in NAMES if name != "metadata"), "cursor", "limit", prefix="metadata.")
    metadata = {name[9:]: value for name, value in given.items() if name.startswith("metadata.")}
    conditions = {name: value for name, value in given.items() if name in NAMES}
    try:
        wanted = read_filter({**conditions, "metadata": metadata})
    except FilterError as err:
        raise bad_query([field_error(name, why) for name, why in err.problems]) from None
    return wanted, given.get("cursor"), number(given, "limit", 1, MOST_JOBS) or 50
