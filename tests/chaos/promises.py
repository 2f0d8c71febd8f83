"""The promises that are about a run as a whole: limits, memory, secrets, indexes, and what the receiver answered."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from tests.chaos.history import History, Request, Sample

MINUTE = 60.0
PROVIDERS_PATIENCE_SECONDS = 10.0
"""The longest answer to a callback while the receiver starts again: callers wait in its backlog."""
AFTERMATH_SECONDS = 3.0
"""The time after an outage in which a callback may still meet its remains: a dead connection, a probe's wait."""

MIB = 1024 * 1024
MOST_PROCESS_BYTES = 300 * MIB
MOST_GROWTH_BYTES = 24 * MIB
"""By how much a process may be larger in the last third of a run than it was in the second."""
LEAST_SAMPLES = 12
REDIS_BASE_BYTES = 8 * MIB
REDIS_JOB_BYTES = 16 * 1024
"""The bytes that Redis may hold of a job with its result, twice those of `deploy/sizing.md`."""

WORD = re.compile(r"[A-Za-z0-9_-]{20,}")


def limits_kept(history: History) -> Iterator[str]:
    """No provider had more at once, or in any minute, than it was said it may."""
    for provider, limits in history.limits.items():
        most = _most_at_once([request for request in history.requests if request.provider == provider])
        if limits.max_concurrent is not None and most > limits.max_concurrent:
            yield f"{provider} had {most} jobs at once, not {limits.max_concurrent}"
        most = _most_within(MINUTE, history.calls_at.get(provider, ()))
        if limits.per_minute is not None and most > limits.per_minute:
            yield f"{provider} was called {most} times in a minute, not {limits.per_minute}"


def _most_at_once(requests: Sequence[Request]) -> int:
    steps = sorted([(r.created_at, 1) for r in requests] + [(max(r.ended_at, r.created_at), -1) for r in requests])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _most_within(seconds: float, instants: Sequence[float]) -> int:
    most, first, ordered = 0, 0, sorted(instants)
    for number, at in enumerate(ordered):
        while at - ordered[first] >= seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


def memory_bounded(history: History) -> Iterator[str]:
    """No process is larger than it may be or grows once it is warm, and Redis holds what its jobs weigh."""
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for sample in history.samples:
        sizes[sample.who].append(sample.bytes)
    redis = sizes.pop("redis", [0])
    if history.most_redis_bytes and redis[-1] > history.most_redis_bytes:
        yield f"Redis holds {redis[-1]} bytes, not {history.most_redis_bytes}"
    for who, held in sizes.items():
        if max(held) > MOST_PROCESS_BYTES:
            yield f"{who} grew to {max(held)} bytes"
        third = len(held) // 3
        if len(held) >= LEAST_SAMPLES:
            growth = median(held[-third:]) - median(held[third : 2 * third])
            if growth > MOST_GROWTH_BYTES:
                yield f"{who} was {growth:.0f} bytes larger in the last third of the run than in the second"


def redis_bytes_for(jobs: int) -> int:
    """The bytes that Redis may hold of so many jobs."""
    return REDIS_BASE_BYTES + jobs * REDIS_JOB_BYTES


def peaks(samples: Sequence[Sample]) -> dict[str, int]:
    """The most that each part was seen to hold."""
    found: dict[str, int] = {}
    for sample in samples:
        found[sample.who] = max(sample.bytes, found.get(sample.who, 0))
    return found


def nothing_leaked(history: History) -> Iterator[str]:
    """No secret stands in a place where it must not."""
    for place, text in history.texts.items():
        for canary in history.canaries:
            if canary in text:
                yield f"a secret stands in {place}: {canary[:12]}..."
        if history.tokens and (found := history.tokens.intersection(WORD.findall(text))):
            yield f"{len(found)} tokens stand in {place}: {min(found)[:6]}..."


def indexes_true(history: History) -> Iterator[str]:
    """Check that the indexes of Redis hold exactly what the records say."""
    for name, (held, true) in history.indexes.items():
        for entry in sorted(held - true):
            yield f"{entry} stands in `{name}`, and its record says otherwise"
        for entry in sorted(true - held):
            yield f"{entry} is missing in `{name}`"


def callbacks_answered(callbacks: Sequence[Mapping[str, Any]], history: History) -> Iterator[str]:
    """In time whatever is broken, 503 only while the store is away, no other 5xx ever, a forged token never thanked."""
    for entry in callbacks:
        status = entry.get("status")
        if status is None:
            if not _is_excused(entry, "receiver", history):
                yield f"a callback was not answered though the receiver was there: {entry.get('error')}"
            continue
        if status >= 500 and (status != 503 or not _is_excused(entry, "store", history)):
            yield f"a callback was answered {status} though nothing was broken"
        if entry.get("letter") == "wrong_token" and 200 <= status < 300:
            yield "a callback with a forged token was thanked for"
        patience = PROVIDERS_PATIENCE_SECONDS if _is_excused(entry, "receiver", history) else history.receiver_seconds
        if float(entry.get("seconds") or 0) > patience:
            yield f"a callback was answered after {entry['seconds']} s"


def _is_excused(entry: Mapping[str, Any], what: str, history: History) -> bool:
    """Whether *what* was away at some moment between the callback's beginning and its end."""
    began = float(entry.get("at") or 0.0)
    ended = float(entry.get("ended_at") or began)
    return any(
        outage.what == what and outage.began <= ended and began <= outage.ended + AFTERMATH_SECONDS
        for outage in history.outages
    )


def requests_owned(history: History) -> Iterator[str]:
    """A request belongs to one job."""
    owners: Counter[str] = Counter()
    for told in history.jobs.values():
        owners.update(set(told.job.request_ids.values()) if told.job else ())
    yield from (f"request {request_id} belongs to {n} jobs" for request_id, n in owners.items() if n > 1)


RUN = (limits_kept, memory_bounded, nothing_leaked, indexes_true, requests_owned)
"""Every promise about the run as a whole."""
