"""The record of a job, as the store keeps it, read into a `Job`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from worker.errors import UnknownLayoutError
from worker.jobs.job import SCHEMA_VERSION, Difference, IgnoredLink, Job, JobError, Video
from worker.jobs.money import Money
from worker.jobs.states import JobState, MovePath

LEAVE_IT = "leave it to the Callsheet that wrote it"


def job_of(job_id: str, record: Mapping[str, str]) -> Job:
    """Read the store's hash; fields this version does not know are ignored, those of a later one have defaults.

    Raises `UnknownLayoutError` for a record whose layout this version does not know.
    """
    _refuse_unknown(job_id, record)
    return Job(
        id=job_id,
        state=JobState(record["state"]),
        ver=int(record["ver"]),
        attempt=_int(record, "attempt", 1),
        try_no=_int(record, "try_no", 0),
        provider=record.get("provider", ""),
        model=record.get("model", ""),
        spec_sha256=record.get("spec_sha256", ""),
        accepted_at=_int(record, "accepted_at", 0),
        tenant=record.get("tenant", ""),
        batch=record.get("batch", ""),
        kind=record.get("kind", ""),
        not_before=_instant(record, "not_before"),
        give_up_after=_instant(record, "give_up_after"),
        state_at=_int(record, "state_at", 0),
        begun_at=_instant(record, "begun_at"),
        kept_in=record.get("kept_in", ""),
        unsent_by=record.get("unsent_by", ""),
        resent=int(record.get("resent", 0)),
        submitted_at=_instant(record, "submitted_at"),
        link_expires_at=_instant(record, "link_expires_at"),
        closed_at=_instant(record, "closed_at"),
        look_until=_instant(record, "look_until"),
        progress=_int(record, "progress", 0),
        polls=_int(record, "polls", 0),
        failures=_int(record, "failures", 0),
        nudges=_int(record, "nudges", 0),
        woken_from=_instant(record, "woken_from"),
        contradictions=_int(record, "contradictions", 0),
        waiting_for=record.get("waiting_for", ""),
        waits=record.get("waits", ""),
        refused_at=_instant(record, "refused_at"),
        unusable=record.get("unusable", ""),
        unusable_at=_instant(record, "unusable_at"),
        place=record.get("place", ""),
        waited_until=_instant(record, "waited_until"),
        call=record.get("call", ""),
        path=cast("MovePath", record.get("path", "")),
        lease=record.get("lease", ""),
        lease_until=_instant(record, "lease_until"),
        leased_at=_instant(record, "leased_at"),
        cost=json.loads(record["cost"]) if record.get("cost") else {},
        usage=json.loads(record["usage"]) if record.get("usage") else {},
        videos=tuple(Video(**video) for video in _rows(record, "videos")),
        ignored=tuple(IgnoredLink(**link) for link in _rows(record, "ignored")),
        differs=tuple(Difference(**row) for row in _rows(record, "differs")),
        failing_since=_instant(record, "failing_since"),
        videos_attempt=_instant(record, "videos_attempt"),
        **_of_attempts(record),
        error=_error(record),
        generated_by=record.get("generated_by", ""),
        told=record.get("told", ""),
        told_ver=_int(record, "told_ver", 0),
        manifest_ver=_instant(record, "manifest_ver"),
        notified_ver=_instant(record, "notified_ver"),
        notify_tries=record.get("notify_tries", ""),
        notify_dead=_int(record, "notify_dead", 0),
        is_tombstone=record.get("tombstone") == "1",
    )


def _by_attempt(record: Mapping[str, str], name: str) -> dict[int, str]:
    """The fields `<name>.<attempt>`."""
    return dict(
        sorted((int(field[len(name) + 1 :]), text) for field, text in record.items() if field.startswith(f"{name}."))
    )


def _of_attempts(record: Mapping[str, str]) -> dict[str, Any]:
    """The fields that are kept for each attempt."""
    numbered = {name: text for name, text in record.items() if "." in name}
    return {
        "request_ids": _by_attempt(numbered, "request_id"),
        "ended": _by_attempt(numbered, "ended"),
        "money": {attempt: Money.parse(line) for attempt, line in _by_attempt(numbered, "money").items()},
        "begun": {attempt: int(at) for attempt, at in _by_attempt(numbered, "begun_at").items()},
    }


def _refuse_unknown(job_id: str, record: Mapping[str, str]) -> None:
    layout = record.get("v")
    if layout != str(SCHEMA_VERSION):
        told = layout or "without a number"
        raise UnknownLayoutError(f"record of job {job_id}: layout {told}, not {SCHEMA_VERSION}: {LEAVE_IT}")


def _rows(record: Mapping[str, str], name: str) -> list[dict[str, Any]]:
    """Read the rows that `rows_json` wrote; empty where the field is absent."""
    rows: list[dict[str, Any]] = json.loads(record.get(name) or "[]")
    return rows


def _error(record: Mapping[str, str]) -> JobError | None:
    stage = record.get("error_stage")
    told = (record.get(f"error_{name}", "") for name in ("code", "message", "provider_code"))
    return JobError(stage, *told) if stage else None


def _int(record: Mapping[str, str], name: str, default: int) -> int:
    return int(record.get(name) or default)


def _instant(record: Mapping[str, str], name: str) -> int | None:
    text = record.get(name)
    return int(text) if text else None
