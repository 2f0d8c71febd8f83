"""The ledger and the budget against the records: every sum is worked out again from all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from worker.jobs.job import Job
from worker.jobs.money import Standing, month_text
from worker.jobs.states import JobState
from worker.store import Store
from worker.store.ledger import UNKNOWN, RowKey, Sum

FOR_EVER = 99_998
"""A UTC day that no sum is of."""


def recomputed(jobs: Iterable[Job]) -> dict[RowKey, Sum]:
    """The sums that the records of *jobs* make."""
    sums: dict[RowKey, Sum] = {}
    for job in jobs:
        for money in job.money.values():
            key = RowKey(money.day, job.provider, job.model, job.tenant, money.standing)
            one = Sum(1, money.ms, money.amount, int(not money.is_priced))
            sums[key] = sums.get(key, Sum()) + one
    return sums


def has_all_records(store: Store) -> bool:
    """Whether no record has ended, was deleted by hand, or is of a layout that nobody here reads: sums outlive it."""
    return len(list(store.records.scan())) == len(store.lists.newest(set(JobState)))


def differences(store: Store) -> list[str]:
    """The places where the ledger differs from the records, to the last millionth; empty where nothing does.

    Every record must still be there: a sum outlives those that it was made of.
    """
    jobs = list(store.records.scan())
    wanted, kept = recomputed(jobs), store.ledger.sums(0, FOR_EVER)
    found = [
        f"{key.text}: the ledger has {kept.get(key)}, the records make {wanted.get(key)}"
        for key in sorted({*wanted, *kept})
        if wanted.get(key) != kept.get(key)
    ]
    found += [f"{key.text}: {value} is negative" for key, value in kept.items() if min(vars(value).values()) < 0]
    return [*found, *_of_index(store, jobs, kept)]


def _of_index(store: Store, jobs: Iterable[Job], kept: Mapping[RowKey, Sum]) -> Iterator[str]:
    wanted = {key.text for key in kept}
    for job in jobs:
        for attempt, money in job.money.items():
            if money.standing is Standing.UNKNOWN:
                wanted.add(f"{UNKNOWN}{money.day}|{job.id}|{attempt}")
    indexed, rows = set(), set()
    for shard in range(store.scripts.keys.shards):
        ledger, index = store.scripts.keys.ledger(shard)
        indexed |= set(store.scripts.client.zrange(index, 0, -1))
        rows |= set(store.scripts.client.hkeys(ledger)) - {"since"}
    if indexed != wanted:
        yield f"the index has {indexed - wanted} too many, and lacks {wanted - indexed}"
    if rows != {key.text for key in kept}:
        yield f"rows that no index names: {rows - {key.text for key in kept}}"


def budget_differences(store: Store) -> list[str]:
    """The caps that count otherwise than the records say, once each job was closed or is at its provider."""
    wanted: dict[str, dict[str, int]] = {}
    for job in store.records.scan():
        for money in job.money.values():
            month = wanted.setdefault(month_text(money.day), {})
            names = ["month", str(money.day), *([f"{money.day} {job.tenant}"] if job.tenant else [])]
            for name in names:
                month[name] = month.get(name, 0) + money.counted
    found = []
    for of_month, sums in wanted.items():
        held = store.scripts.client.hgetall(store.scripts.keys.budget(of_month)[0])
        kept = {str(name): int(value) for name, value in held.items()}
        found += [
            f"{of_month} {name}: the caps count {kept.get(name, 0)}, the records make {sums.get(name, 0)}"
            for name in sorted({*sums, *kept})
            if kept.get(name, 0) != sums.get(name, 0)
        ]
    return found
