"""One job with all that stands beside its record, in one round trip: whoever shows a job shows all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from worker.jobs.job import Job
from worker.jobs.record import job_of
from worker.store.callbacks import read_events
from worker.store.compression import unpack
from worker.store.history import BEFORE_MOVES, read_entry
from worker.store.replies import StoredEvent, TimelineEntry
from worker.store.scripts import Scripts, store_errors


@dataclass(frozen=True)
class WholeJob:
    """A job at one moment. *due_at* is Unix ms, None: in no due index; *candidates* is their number."""

    job: Job
    due_at: int | None
    candidates: int
    events: tuple[StoredEvent, ...]
    spec_json: str | None
    entries: tuple[TimelineEntry, ...]
    deliveries: tuple[Mapping[str, Any], ...]


def read_whole(scripts: Scripts, job_id: str) -> WholeJob | None:
    """The job; None where it has no record (any more). Raises `UnknownLayoutError` for a record of another layout."""
    record, due, candidates, events, history, _, _, deliveries = scripts.keys.of(job_id)
    with store_errors():
        pipeline = cast("Any", scripts.client.pipeline(transaction=False))
        pipeline.hgetall(record)
        pipeline.zscore(due, job_id)
        pipeline.hlen(candidates)
        pipeline.hgetall(events)
        pipeline.execute_command("LINDEX", history, 0, NEVER_DECODE=True)
        pipeline.lrange(history, BEFORE_MOVES, -1)
        pipeline.lrange(deliveries, 0, -1)
        fields, due_at, count, kept, spec, lines, tries = pipeline.execute()
    if not fields:
        return None
    return WholeJob(
        job=job_of(job_id, fields),
        due_at=None if due_at is None else int(due_at),
        candidates=int(count),
        events=read_events(kept),
        spec_json=None if spec is None else unpack(spec),
        entries=tuple(read_entry(line) for line in lines),
        deliveries=tuple(json.loads(line) for line in tries),
    )
