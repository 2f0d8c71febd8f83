"""Batches: many jobs ordered by one call, each for itself, and looked at together."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from worker.errors import CallsheetError, SpecError, StoreError
from worker.jobs.durations import iso
from worker.jobs.job import is_job_id
from worker.services import Services
from worker.steps.accept import BAD_ID
from worker.store import Store

MOST_JOBS = 500
ID_CHARACTERS = 59
"""A job's id is made of its batch's, a hyphen and a number of at most 4 digits."""
AT_ONCE = 8

Order = Callable[[Mapping[str, Any], str, str], object]
"""Records a job of that spec, id and batch, and nudges it; raises `CallsheetError`."""


@dataclass(frozen=True)
class Item:
    """One order of a batch, numbered from 1. *error* says why it was not taken; None: it is recorded."""

    n: int
    job_id: str
    error: CallsheetError | None = None


def checked_batch_id(text: str | None) -> str:
    """*text*, if it can name a batch, or a new id for None; raises `CallsheetError`."""
    if text is None:
        return str(uuid.uuid4())
    if not is_job_id(text) or len(text) > ID_CHARACTERS:
        raise CallsheetError(f"batch id: must be 1 to {ID_CHARACTERS} of A-Z, a-z, 0-9, '_' and '-'")
    return text


def order(batch_id: str, orders: Sequence[Any], take: Order, services: Services) -> list[Item]:
    """Order each for itself; the same call again orders what is missing, and pays nothing twice.

    A spec may hold the `job_id`; without, it is made of the batch's id and the item's number. Once Redis has not
    answered for one, those that were not begun are given up with the same `StoreError`.
    """
    items = [_item(batch_id, n, given) for n, given in enumerate(orders, 1)]
    wanted = [item.job_id for item in items if item.error is None]
    services.store.batches.begin(batch_id, wanted)
    silent: list[StoreError] = []

    def taken(item: Item) -> Item:
        if item.error is not None or silent:
            return replace(item, error=item.error or silent[0])
        try:
            take({name: value for name, value in orders[item.n - 1].items() if name != "job_id"}, item.job_id, batch_id)
        except StoreError as err:
            silent.append(err)
            return replace(item, error=err)
        except CallsheetError as err:
            return replace(item, error=err)
        return item

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(taken, items))


def _item(batch_id: str, n: int, given: Any) -> Item:
    if not isinstance(given, Mapping):
        return Item(n, f"{batch_id}-{n}", SpecError(["a spec is an object of fields, such as model and prompt"]))
    job_id = given.get("job_id", f"{batch_id}-{n}")
    if not is_job_id(job_id):
        return Item(n, "", SpecError([BAD_ID]))
    return Item(n, job_id)


def told(batch_id: str, store: Store) -> dict[str, Any] | None:
    """The batch for a program, with its jobs counted by state; None where there is none of that id.

    `missing`: ordered, but never recorded (its spec was refused, or Redis did not answer), or forgotten since.
    """
    batch = store.batches.get(batch_id) if is_job_id(batch_id) else None
    if batch is None:
        return None
    jobs = {job.id: job for job in store.records.read(batch.job_ids)}
    for job_id in batch.job_ids:
        if job_id not in jobs and (tombstone := store.jobs.get(job_id)) is not None:
            jobs[job_id] = tombstone
    counted = Counter(str(job.state) for job in jobs.values())
    return {
        "batch": batch_id,
        "at": iso(batch.at),
        "jobs": len(batch.job_ids),
        "states": dict(sorted(counted.items())),
        "open": sum(job.is_open for job in jobs.values()),
        "missing": len(batch.job_ids) - len(jobs),
    }
