"""Every read of the store: one job, all jobs, and what the server says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import redis

from worker.jobs.job import SCHEMA_VERSION, Job, Link, is_job_id
from worker.jobs.states import JobState
from worker.store.compression import unpack
from worker.store.keys import Keys, job_id_of
from worker.store.lists import score
from worker.store.replies import Outline, ServerFacts, StoredEvent, TimelineEntry
from worker.store.scripts import Scripts, store_errors

PROBE_MS = 10_000
BATCH = 500
OUTLINE = (
    *("state", "provider", "accepted_at", "closed_at", "v", "nudges", "lease_until", "leased_at"),
    *("ver", "told_ver", "manifest_ver"),
)
"""The fields that an outline is made of."""
COUNTED_AT = "@"
"""Ends the name of the field that says when a counter was last added to."""
BEFORE_MOVES = 2
"""A job's history begins with its spec and its Celery requests."""


class Reads:
    """Reads that change nothing."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._keys = keys
        self._scripts = Scripts(client, keys)

    @property
    def _client(self) -> redis.Redis:
        return self._scripts.client

    def get(self, job_id: str) -> Job | None:
        """The job's record, or what its tombstone kept of it."""
        job, *_, tombstone, _ = self._keys.of(job_id)
        record = self._hash(job) or json.loads(self._text(tombstone) or "{}")
        return Job.from_record(job_id, record) if record else None

    def knows(self, job_id: str) -> bool:
        """Whether there is a record of the job, or its tombstone."""
        record, *_, tombstone, _ = self._keys.of(job_id)
        with store_errors():
            return bool(self._client.exists(record, tombstone))

    def spec_json(self, job_id: str) -> str | None:
        """The spec as it was accepted."""
        kept = self._at_head(job_id, 0)
        return None if kept is None else unpack(kept)

    def saved_requests(self, job_id: str) -> list[str]:
        """The Celery requests that asked for the job, each another one for its callers; the first that came first."""
        kept = self._at_head(job_id, 1) or b""
        return [line.decode() for line in kept.split(b"\n") if line]

    def links(self, job_id: str) -> tuple[Link, ...]:
        """The provider's links to the current attempt's videos, as last told."""
        return tuple(Link(**link) for link in json.loads(self._text(self._keys.of(job_id)[5]) or "[]"))

    def timeline(self, job_id: str) -> list[TimelineEntry]:
        """The job's moves, of the latest 200 entries."""
        return [entry for entry in self.entries(job_id) if entry.source != entry.target]

    def entries(self, job_id: str) -> list[TimelineEntry]:
        """The job's moves and what operators did that moved nothing, the latest 200."""
        with store_errors():
            lines = cast("list[str]", self._client.lrange(self._keys.of(job_id)[4], BEFORE_MOVES, -1))
        return [_entry(line) for line in lines]

    def candidates(self, job_id: str) -> dict[str, int]:
        """Request ids that only callbacks have named -> when first, Unix ms; the oldest first."""
        kept = self._hash(self._keys.of(job_id)[2])
        seen = {request_id: int(value.partition(" ")[0]) for request_id, value in kept.items()}
        return dict(sorted(seen.items(), key=lambda item: item[1]))

    def events(self, job_id: str) -> tuple[StoredEvent, ...]:
        """The callbacks kept, in the order they came."""
        kept = self._hash(self._keys.of(job_id)[3])
        return tuple(sorted((_event(*item) for item in kept.items()), key=lambda event: event.at))

    def versions(self, job_ids: Iterable[str]) -> dict[str, int]:
        """The version of each of *job_ids* that has a record."""
        job_ids = list(job_ids)
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for job_id in job_ids:
                pipeline.hget(self._keys.of(job_id)[0], "ver")
            found = pipeline.execute()
        return {job_id: int(ver) for job_id, ver in zip(job_ids, found, strict=True) if ver is not None}

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """The tries at the job's notifications, the latest 20, in the order they were made."""
        with store_errors():
            lines = cast("list[str]", self._client.lrange(self._keys.of(job_id)[7], 0, -1))
        return [json.loads(line) for line in lines]

    def counters(self) -> dict[str, int]:
        """Every counter's value."""
        totals: dict[str, int] = {}
        for shard in range(self._keys.shards):
            for name, value in self._hash(self._keys.counters(shard)).items():
                if not name.endswith(COUNTED_AT):
                    totals[name] = totals.get(name, 0) + int(value)
        return totals

    def counted_at(self) -> dict[str, int]:
        """When each counter was last added to, Unix ms, as far as that is known."""
        latest: dict[str, int] = {}
        for shard in range(self._keys.shards):
            for name, value in self._hash(self._keys.counters(shard)).items():
                if name.endswith(COUNTED_AT):
                    counter = name.removesuffix(COUNTED_AT)
                    latest[counter] = max(latest.get(counter, 0), int(value))
        return latest

    def took(self, provider: str, model: str) -> list[float]:
        """The seconds of the model's latest generations, as `learn` kept them."""
        return [seconds for seconds, _ in self.history(provider, model)]

    def history(self, provider: str, model: str) -> list[tuple[float, str]]:
        """The same, each with its kind (`Job.kind`; empty: not known)."""
        with store_errors():
            lines = cast("list[str]", self._client.lrange(self._keys.took(provider, model), 0, -1))
        parts = (line.partition(" ") for line in lines)
        return [(float(seconds), kind) for seconds, _, kind in parts]

    def ahead(self, job: Job) -> int:
        """The number of jobs before *job* in its provider's line; 0 when it stands in none."""
        if not job.place:
            return 0
        op = job.place.partition(":")[0]
        entry = f"({job.provider}:{job.place}:{job.id}"
        with store_errors():
            line = self._keys.shared(job.id)[1]
            return int(self._client.zlexcount(line, f"[{job.provider}:{op}:", entry))

    def owner(self, provider: str, request_id: str) -> str | None:
        """The job that owns *request_id* of *provider*; None where none does."""
        return self._text(self._keys.request(provider, request_id))

    def strays(self) -> list[dict[str, Any]]:
        """The bodies that `keep_stray` kept, the latest first."""
        with store_errors():
            return [json.loads(stray) for stray in self._client.lrange(self._keys.strays(), 0, -1)]

    def next_due_at(self) -> int | None:
        """When the next job is due, Unix ms; None when no job is open."""
        return min((at for at, _ in self._due(last=0)), default=None)

    def due_at(self, job_id: str) -> int | None:
        """When somebody must look at the job again, Unix ms; None when it is not open."""
        with store_errors():
            score = self._client.zscore(self._keys.of(job_id)[1], job_id)
        return None if score is None else int(score)

    def open_ids(self) -> list[tuple[int, str]]:
        """Every open job as (due at, job id), Unix ms, the soonest first."""
        return sorted(self._due(last=-1))

    def read(self, job_ids: Iterable[str]) -> Iterator[Job]:
        """The records of *job_ids* in their order, many at a time; one without a record, or with one of an
        unknown layout, is left out."""
        ids = iter(job_ids)
        with store_errors():
            while batch := list(islice(ids, BATCH)):
                pipeline = self._client.pipeline(transaction=False)
                for job_id in batch:
                    pipeline.hgetall(self._keys.of(job_id)[0])
                for job_id, record in zip(batch, pipeline.execute(), strict=True):
                    if record and is_readable(record.get("v")):
                        yield Job.from_record(job_id, record)

    def read_open(self, job_ids: Iterable[str]) -> Iterator[tuple[Job, int | None, int]]:
        """The same, each with its due time (Unix ms; None: in no due index) and the number of its candidates."""
        ids = iter(job_ids)
        while batch := list(islice(ids, BATCH)):
            with store_errors():
                pipeline = self._client.pipeline(transaction=False)
                for job_id in batch:
                    record, due, candidates, *_ = self._keys.of(job_id)
                    pipeline.hgetall(record)
                    pipeline.zscore(due, job_id)
                    pipeline.hlen(candidates)
                answers = iter(pipeline.execute())
            for job_id, record, due_at, count in zip(batch, answers, answers, answers, strict=True):
                if record and is_readable(record.get("v")):
                    yield Job.from_record(job_id, record), None if due_at is None else int(due_at), int(count)

    def metadata(self, job_ids: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The caller's own metadata of each job, in their order, many at a time; empty where the job has none."""
        ids = iter(job_ids)
        while batch := list(islice(ids, BATCH)):
            with store_errors():
                pipeline = cast("Any", self._client.pipeline(transaction=False))
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
                pipeline = self._client.pipeline(transaction=False)
                for name in batch:
                    pipeline.hmget(name, *OUTLINE)
                for name, row in zip(batch, pipeline.execute(), strict=True):
                    if row[0] is not None and is_readable(row[4]):
                        yield _outline(job_id_of(name), row)

    def open_count(self) -> int:
        """The number of open jobs."""
        with store_errors():
            return sum(int(self._client.zcard(self._keys.due(shard))) for shard in range(self._keys.shards))

    def scan(self) -> Iterator[Job]:
        """Every record, in no order; one that changes meanwhile is read as it was at some moment."""
        return self.read(job_id_of(name) for name in self._names())

    def unknown_layouts(self) -> int:
        """The number of records whose layout this version does not know; they are left alone."""
        count, names = 0, self._names()
        with store_errors():
            while batch := list(islice(names, BATCH)):
                pipeline = self._client.pipeline(transaction=False)
                for name in batch:
                    pipeline.hget(name, "v")
                count += sum(not is_readable(version) for version in pipeline.execute())
        return count

    def audit(self) -> list[str]:
        """Breaches of "open <=> exactly one due entry" and "a record <=> exactly one entry of its state in lists", a
        sentence each; empty on a sound system."""
        return [problem for job_id in self._suspects() if (problem := self._breach(job_id))]

    def ping(self) -> None:
        """Return if Redis answers."""
        with store_errors():
            self._client.ping()

    def try_write(self) -> None:
        """Write a probe to each shard, which expires by itself; raises `StoreError` where Redis takes no write.

        A read-only replica, a Redis without memory and one without its replicas all answer a PING.
        """
        with store_errors():
            for shard in range(self._keys.shards):
                self._client.set(self._keys.probe(shard), 1, px=PROBE_MS)

    def server_facts(self) -> ServerFacts:
        """The facts by which `doctor` judges the server."""
        with store_errors():
            try:
                info = self._client.info()
            except redis.exceptions.NoPermissionError:  # our user may not ask (-@dangerous)
                info = {}
            try:
                held = self._client.config_get("append*")
            except redis.ResponseError:
                held = {}
        aof, limit = info.get("aof_enabled"), info.get("maxmemory")
        number = info.get("valkey_version") or info.get("redis_version")
        return ServerFacts(
            version=f"{info.get('server_name', 'redis')} {number}" if number else "a server of unknown version",
            has_aof=None if aof is None else bool(aof),
            fsync=held.get("appendfsync"),
            eviction_policy=info.get("maxmemory_policy"),
            max_memory_bytes=None if limit is None else int(limit),
            durability=self._scripts.durability,
        )

    def _text(self, key: str) -> str | None:
        with store_errors():
            return cast("str | None", self._client.get(key))

    def _at_head(self, job_id: str, position: int) -> bytes | None:
        """The entries of the job's history before its moves."""
        client, history = cast("Any", self._client), self._keys.of(job_id)[4]
        with store_errors():
            return cast("bytes | None", client.execute_command("LINDEX", history, position, NEVER_DECODE=True))

    def _hash(self, key: str) -> dict[str, str]:
        with store_errors():
            return cast("dict[str, str]", self._client.hgetall(key))

    def _due(self, *, last: int) -> Iterator[tuple[int, str]]:
        """The due index as (due at, job id), each shard's soonest first, up to position *last*."""
        with store_errors():
            for shard in range(self._keys.shards):
                entries = self._client.zrange(self._keys.due(shard), 0, last, withscores=True)
                for job_id, at in cast("list[tuple[str, float]]", entries):
                    yield int(at), job_id

    def _listed(self) -> Iterator[tuple[str, int]]:
        """Every entry of the lists' index as (job id, score), in no order."""
        with store_errors():
            for shard in range(self._keys.shards):
                for job_id, at in self._client.zscan_iter(self._keys.listed(shard), count=BATCH):
                    yield job_id, int(at)

    def _names(self) -> Iterator[str]:
        """The key of each record, once: SCAN may name one twice."""
        seen: set[str] = set()
        with store_errors():
            for name in self._client.scan_iter(match=self._keys.job_pattern(), count=BATCH):
                if name not in seen:
                    seen.add(name)
                    yield name

    def _suspects(self) -> list[str]:
        """Ids that what `audit` looks at did not hold for while all were looked through."""
        seen = list(self.outlines())
        unlike_due = {job.id for job in seen if job.is_open} ^ {job_id for _, job_id in self._due(last=-1)}
        wanted = {(job.id, score(job.state, job.accepted_at)) for job in seen}
        return sorted(unlike_due | {job_id for job_id, _ in wanted ^ set(self._listed())})

    def _breach(self, job_id: str) -> str | None:
        """The fault of one job, read in one transaction: it may have moved since it was suspected."""
        if not is_job_id(job_id):
            return f"{job_id!r:.80} is due or listed but can be no job"
        record, due, *_ = self._keys.of(job_id)
        with store_errors():
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hmget(record, "state", "closed_at", "accepted_at", "v")
            pipeline.zscore(due, job_id)
            pipeline.zscore(self._keys.listed(self._keys.shard_of(job_id)), job_id)
            pipeline.zscore(self._keys.closed(self._keys.shard_of(job_id)), job_id)
            (state, closed_at, accepted_at, version), due_at, listed_at, ends_at = pipeline.execute()
        if state is None:
            # a record that has ended is taken out of the lists by the next sweep
            left = "listed" if listed_at is not None and ends_at is None else ""
            left = "due" if due_at is not None else left
            return f"{job_id} is {left} but has no record" if left else None
        if closed_at is not None and due_at is not None:
            return f"{job_id} is closed but due"
        if closed_at is None and due_at is None:
            return f"{job_id} is open ({state}) but never due"
        if is_readable(version) and listed_at != score(JobState(state), int(accepted_at or 0)):
            return f"{job_id} is {state} but not where the lists look for it"
        return None


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


def _entry(line: str) -> TimelineEntry:
    at, source, target, path, attempt, detail = line.split(" ", 5)
    way, _, actor = path.partition(":")
    what, _, reason = detail.partition("\t")
    return TimelineEntry(int(at), source, target, way, int(attempt), what, actor, reason)


def _event(fingerprint: str, value: str) -> StoredEvent:
    head, _, text = value.partition("\n")
    terminal, attempt, at, request_id = head.split(" ", 3)
    return StoredEvent(fingerprint, int(at), int(attempt), json.loads(request_id), terminal == "1", text)
