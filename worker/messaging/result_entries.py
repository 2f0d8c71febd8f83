"""Result entries as they stand in Celery's Redis backend, each with the age of the record that it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from celery import states

from worker.jobs.result import ToldResult


def held(backend: Any, job_id: str) -> dict[str, Any]:
    """The result entry of a job; empty when there is none of ours."""
    return _read(backend.client.get(backend.get_key_for_task(job_id)))


def told(backend: Any, job_ids: Sequence[str]) -> dict[str, ToldResult]:
    """The result of each job that has an entry of ours."""
    if not job_ids:
        return {}
    kept = backend.client.mget([backend.get_key_for_task(job_id) for job_id in job_ids])
    entries = {job_id: _read(entry) for job_id, entry in zip(job_ids, kept, strict=True)}
    return {
        job_id: ToldResult(entry.get("status") in states.READY_STATES, *age(entry))
        for job_id, entry in entries.items()
        if age(entry) > (0, 0)
    }


def age(entry: Mapping[str, Any]) -> tuple[int, int]:
    """The `state_at` and `ver` of the record that a result entry was made of; zeros for one that is not ours.

    Of two entries the greater is the newer. `ver` alone would not tell: a record that Redis has lost, with all or some
    of its moves, counts from where it was set back to.
    """
    at, ver = entry.get("callsheet_at"), entry.get("callsheet_ver")
    return at if isinstance(at, int) else 0, ver if isinstance(ver, int) else 0


def _read(entry: bytes | str | None) -> dict[str, Any]:
    """A result entry; empty for none, and for one that is not Celery's."""
    try:
        read = json.loads(entry or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
