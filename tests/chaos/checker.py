"""The judge of a run: what the sandbox, S3 and the store wrote down, held against the invariants of the design.

Each breach names the job and the promise; with it goes the job's whole history in the order it happened.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.chaos import promises
from tests.chaos.history import Breach, History, JobHistory
from worker.jobs.job import Job

LEAVES_TO = {
    "": {"accepted"},
    "accepted": {"submitting", "cancelled", "failed(accept)", "failed(submit)", "unconfirmed", "submitted"},
    "submitting": {"submitted", "accepted", "unconfirmed", "failed(submit)"},
    "unconfirmed": {"submitted", "failed(confirm)", "failed(submit)", "accepted", "archived"},
    "submitted": {"generated", "failed(generate)", "expired"},
    "generated": {"archived", "failed(archive)"},
    "failed(accept)": {"accepted"},
    "failed(submit)": {"accepted"},  # from here to `accepted`: only an operator's retry
    "failed(generate)": {"generated", "accepted"},
    "failed(confirm)": {"submitted", "accepted"},
    "failed(archive)": {"archived", "generated", "accepted"},
    "expired": {"generated", "failed(generate)", "submitted", "accepted"},
    "cancelled": {"accepted"},
}
"""The design's table of states, written down once more by hand: what timelines are judged by."""

FINAL = {word for word in LEAVES_TO if word.startswith("failed")} | {"expired", "cancelled"}


def judge(history: History) -> list[Breach]:
    """Every breach of the run."""
    found = [Breach("", f"open <=> due is broken: {text}") for text in history.breaches_of_due]
    found += [Breach("", f"the sums are not those of the records: {text}") for text in history.breaches_of_money]
    for promise in promises.RUN:
        found += [Breach("", text) for text in promise(history)]
    for job_id, told in history.jobs.items():
        found += [Breach(job_id, text) for text in _judged(told, history)]
    return found


def assert_sound(history: History) -> None:
    """Fail with every breach and the offending jobs' timelines."""
    breaches = judge(history)
    lines = [f"{breach.job_id or 'the run'}: {breach.what}" for breach in breaches]
    for job_id in sorted({breach.job_id for breach in breaches if breach.job_id}):
        lines += ["", *timeline_of(job_id, history.jobs[job_id])]
    assert not breaches, "\n".join(lines)


def timeline_of(job_id: str, told: JobHistory) -> list[str]:
    """All that happened to a job, in order, a line each."""
    rows: list[tuple[float, str]] = []
    rows += [(entry.at / 1000, f"move      {entry.source or '-'} -> {entry.target} by {entry.path} {entry.detail}")
             for entry in told.timeline]  # fmt: skip
    rows += [(call["at"], f"call      {call['method']} {call['path']} -> {call.get('answer')}") for call in told.calls]
    rows += [(entry["at"], f"callback  {entry.get('letter', '')} -> {entry.get('status')} {entry.get('error') or ''}")
             for entry in told.callbacks]  # fmt: skip
    rows += [(0.0, f"notified  {one.webhook_id} {one.type}") for one in told.notified]
    rows += [(call.at, f"s3        {call.method} {call.key}?{call.query[:20]} -> {call.status}") for call in told.puts]
    end = f"now       {told.job}" if told.job else "now       no record"
    return [f"--- {job_id}", *(f"{at:.3f} {text}" for at, text in sorted(rows)), end]


def _judged(told: JobHistory, history: History) -> Iterator[str]:
    if told.job is None:
        yield "the record is gone"
        return
    yield from _moves(told)
    yield from _payments(told.job, told)
    yield from _ends(told.job, told)
    yield from _notifications(told.job, told)
    yield from _objects(told.job, told)
    yield from _answers(told, history)


def _moves(told: JobHistory) -> Iterator[str]:
    state = ""
    for entry in told.timeline:
        if entry.source != state or entry.target not in LEAVES_TO.get(entry.source, set()):
            yield f"an unlisted move: {entry.source or '-'} (after {state or '-'}) -> {entry.target}"
        if entry.source in FINAL and entry.target == "accepted" and entry.path != "operator":
            yield f"an end was undone without an operator: {entry.source}"
        state = entry.target
    if list(told.versions) != sorted(told.versions):
        yield f"`ver` fell: {list(told.versions)}"


def _payments(job: Job, told: JobHistory) -> Iterator[str]:
    for attempt, count in Counter(request.attempt for request in told.requests).items():
        if count > 1:
            yield f"attempt {attempt} was paid {count} times"
    if len(told.requests) > job.attempt:
        yield f"{len(told.requests)} requests are paid for {job.attempt} attempts"
    if job.state == "cancelled" and told.requests:
        yield "it is cancelled and was paid for"
    known = set(job.request_ids.values())
    for request in told.requests:
        if request.outcome == "completed" and request.id not in known and not _is_honestly_unknown(job):
            yield f"the paid, finished request {request.id} is forgotten"


def _is_honestly_unknown(job: Job) -> bool:
    """The one end at which a paid video may be missing: nothing told us its id, and the record says so."""
    return job.error is not None and (job.error.stage, job.error.code) == ("confirm", "outcome_unknown")


def _ends(job: Job, told: JobHistory) -> Iterator[str]:
    if not job.is_final:
        yield f"it never ended: {job.state}, waiting for {job.waiting_for}"
        return
    if job.told_ver != job.ver:
        yield f"version {job.ver} is not told (only {job.told_ver})"
    status = {"archived": "SUCCESS", "cancelled": "REVOKED"}.get(job.state, "FAILURE")
    if told.told.get("status") != status:
        yield f"it is {job.state}, and the caller was told {told.told.get('status')}"
    result = told.told.get("result")
    if status == "SUCCESS" and isinstance(result, dict):
        if [video["sha256"] for video in result["videos"]] != [video.sha256 for video in job.videos]:
            yield "the told videos are not those on record"
        if result["request_id"] != job.request_id:
            yield "the told request is not the one on record"
    if job.state != "archived" and any(
        request.outcome == "completed" and request.id == job.request_id for request in told.requests
    ):
        yield f"its video was made and paid for, and it is {held(job)}"


def _notifications(job: Job, told: JobHistory) -> Iterator[str]:
    """Told at least once, of the last version in the end, under one id and with one body for each version."""
    if not told.wants_notification:
        if told.notified:
            yield "a notification came that nobody wanted"
        return
    bodies: dict[str, bytes] = {}
    for one in told.notified:
        if not one.is_genuine:
            yield f"the notification {one.webhook_id} is not genuine"
        if one.webhook_id != f"{job.id}.{one.ver}":
            yield f"version {one.ver} was notified as {one.webhook_id}"
        if one.type != f"job.{one.state}":
            yield f"a job that is {one.state} was notified as {one.type}"
        if one.ver > job.ver:
            yield f"version {one.ver} was notified before it was durable"
        if bodies.setdefault(one.webhook_id, one.body) != one.body:
            yield f"the notification {one.webhook_id} was sent with two bodies"
    if not job.is_final:
        return
    last = max(told.notified, key=lambda one: one.ver, default=None)
    if last is None or last.ver != job.ver:
        yield f"version {job.ver} was not notified (only {last.ver if last else 'none'})"
    elif last.state != job.state or last.digests != tuple(video.sha256 for video in job.videos):
        yield "the last notification is not what is on record"


def held(job: Job) -> str:
    return f"{job.state}({job.error.stage})" if job.error else str(job.state)


def _objects(job: Job, told: JobHistory) -> Iterator[str]:
    films = {key: digest for key, digest in told.objects.items() if key.endswith(".mp4")}
    if job.state == "archived":
        stored = [films.get(video.uri.split("/", 3)[3]) for video in job.videos]
        if stored != [video.sha256 for video in job.videos]:
            yield "the bucket does not hold what the record says"
        served = next((request.digests for request in told.requests if request.id == job.request_id), ())
        if served and tuple(video.sha256 for video in job.videos) != served:
            yield "the bucket does not hold what the provider served"
        if not any(key.endswith("/job.json") for key in told.objects):
            yield "there is no job.json"
    per_key = Counter(call.key for call in told.puts if call.is_put and call.key.endswith(".mp4"))
    for key, count in per_key.items():
        if count > 1:
            yield f"{key} was written {count} times"
    if any(call.is_put and not call.is_conditional for call in told.puts if call.key.endswith(".mp4")):
        yield "a video was put without a condition"


def _answers(told: JobHistory, history: History) -> Iterator[str]:
    was_thanked = any(entry.get("status") == 200 for entry in told.callbacks)
    if was_thanked and not told.kept_events and told.job is not None and not told.job.is_final:
        yield "a callback was thanked for and is gone"
    yield from promises.callbacks_answered(told.callbacks, history)


def attempt_of(url: str | None) -> int:
    """The attempt that a callback URL names; 1 where a provider has none."""
    match = re.search(r"/callbacks/[a-z]+/[^/]+/(\d+)/", url or "")
    return int(match[1]) if match else 1
