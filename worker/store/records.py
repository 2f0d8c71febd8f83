"""Reads of very many records, some hundreds in a round trip."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from worker.jobs.job import SCHEMA_VERSION, Job
from worker.jobs.record import job_of
from worker.jobs.states import JobState
from worker.store.compression import unpack
from worker.store.keys import job_id_of
from worker.store.replies import Outline
from worker.store.scripts import Scripts, store_errors

BATCH = 500
OUTLINE = (
    *("state", "provider", "accepted_at", "closed_at", "v", "nudges", "lease_until", "leased_at"),
    *("ver", "told_ver", "manifest_ver"),
)
"""The fields that an outline is made of."""


class Records:
    """The records of one store; one of an unknown layout is left out."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def read(self, job_ids: Iterable[str]) -> Iterator[Job]:
        """The records of *job_ids* in their order, many at a time; one without a record, or with one of an
        unknown layout, is left out."""
        ids = iter(job_ids)
        with store_errors():
            while batch := list(islice(ids, BATCH)):
                pipeline = self._scripts.client.pipeline(transaction=False)
                for job_id in batch:
                    pipeline.hgetall(self._keys.of(job_id)[0])
                for job_id, record in zip(batch, pipeline.execute(), strict=True):
                    if record and is_readable(record.get("v")):
                        yield job_of(job_id, record)

    def read_open(self, job_ids: Iterable[str]) -> Iterator[tuple[Job, int | None, int]]:
        """The same, each with its due time (Unix ms; None: in no due index) and the number of its candidates."""
        ids = iter(job_ids)
        while batch := list(islice(ids, BATCH)):
            with store_errors():
                pipeline = self._scripts.client.pipeline(transaction=False)
                for job_id in batch:
                    record, due, candidates, *_ = self._keys.of(job_id)
                    pipeline.hgetall(record)
                    pipeline.zscore(due, job_id)
                    pipeline.hlen(candidates)
                answers = iter(pipeline.execute())
            for job_id, record, due_at, count in zip(batch, answers, answers, answers, strict=True):
                if record and is_readable(record.get("v")):
                    yield job_of(job_id, record), None if due_at is None else int(due_at), int(count)

    def metadata(self, job_ids: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The caller's own metadata of each job, in their order, many at a time; empty where the job has none."""
        ids = iter(job_ids)
        while batch := list(islice(ids, BATCH)):
            with store_errors():
                pipeline = cast("Any", self._scripts.client.pipeline(transaction=False))
                for job_id in batch:
                    pipeline.execute_command("LINDEX", self._keys.of(job_id)[4], 0, NEVER_DECODE=True)
                kept = pipeline.execute()
            for job_id, spec in zip(batch, kept, strict=True):
                text = "" if spec is None else unpack(spec)
                yield job_id, json.loads(text).get("metadata") or {} if '"metadata"' in text else {}

    def outlines(self, job_ids: Iterable[str] | None = None) -> Iterator[Outline]:
        """The outlines of *job_ids* in their order, without: of every record, in none."""
        names = self._names() if job_ids is None else (self._keys.of(job_id)[0] for job_id in job_ids)
        with store_errors():
            while batch := list(islice(names, BATCH)):
                pipeline = self._scripts.client.pipeline(transaction=False)
                for name in batch:
                    pipeline.hmget(name, *OUTLINE)
                for name, row in zip(batch, pipeline.execute(), strict=True):
                    if row[0] is not None and is_readable(row[4]):
                        yield _outline(job_id_of(name), row)

    def scan(self) -> Iterator[Job]:
        """Every record, in no order; one that changes meanwhile is read as it was at some moment."""
        return self.read(job_id_of(name) for name in self._names())

    def unknown_layouts(self) -> int:
        """The number of records whose layout this version does not know; they are left alone."""
        count, names = 0, self._names()
        with store_errors():
            while batch := list(islice(names, BATCH)):
                pipeline = self._scripts.client.pipeline(transaction=False)
                for name in batch:
                    pipeline.hget(name, "v")
                count += sum(not is_readable(version) for version in pipeline.execute())
        return count

    def versions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """The version of each of *job_ids* that has a record."""
        job_ids = list(job_ids)
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hget(self._keys.of(job_id)[0], "ver")
            found = pipeline.execute()
        return {job_id: int(ver) for job_id, ver in zip(job_ids, found, strict=True) if ver is not None}

    def _names(self) -> Iterator[str]:
        """The key of each record, once: SCAN may name one twice."""
        seen: set[str] = set()
        with store_errors():
            for name in self._scripts.client.scan_iter(match=self._keys.job_pattern(), count=BATCH):
                if name not in seen:
                    seen.add(name)
                    yield name


def _outline(job_id: str, row: Sequence[str | None]) -> Outline:
    """The outline of a record from its fields OUTLINE."""
    state, provider, accepted_at, closed_at, _, nudges, lease_until, leased_at, ver, told, manifest = row
    return Outline(
        id=job_id,
        state=JobState(state or ""),
        provider=provider or "",
        accepted_at=int(accepted_at or 0),
        is_open=closed_at is None,
        nudges=int(nudges or 0),
        lease_until=int(lease_until or 0),
        leased_at=int(leased_at or 0),
        is_delivered=told == ver and manifest in (None, ver),
    )


def is_readable(version: str | None) -> bool:
    """Whether a record of that layout can be read here."""
    return version == str(SCHEMA_VERSION)
