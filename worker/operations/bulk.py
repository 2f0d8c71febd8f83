"""Bulk acts: one act on all jobs that fit a filter, with a preview of what it costs, then done by the clock.

A job is acted on at most once for each bulk act, by the attempt that it had when the act was asked for: a process that
is killed loses nothing, and pays nothing twice. What cannot be known after a kill is told as `interrupted`.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from worker.errors import CallsheetError, NoSuchJobError
from worker.jobs.actor import Actor, given_by
from worker.jobs.durations import iso
from worker.jobs.job import is_job_id
from worker.jobs.money import from_millionths, millionths
from worker.operations import ask, cancel, filters, renotify, retry
from worker.operations.explain import View
from worker.operations.outcome import Outcome, Pays
from worker.operations.search import MOST_JOBS as MOST_OF_PAGE
from worker.operations.search import Filter, page
from worker.operations.view import Reader
from worker.services import Services
from worker.store.bulks import Bulk, BulkState

MOST_JOBS = 10_000
"""Jobs of one bulk act, and of one preview: none acts on jobs that its preview did not look at."""
MOST_NAMED = 500
"""Jobs that can be named one by one."""
SAMPLES = 20
MOST_PAGES = 250


class Act(StrEnum):
    """The acts that can be done on many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    RENOTIFY = "renotify"
    ASK = "ask"


@dataclass(frozen=True)
class Order:
    """A bulk act as it is asked for: on the jobs of a filter, or on those that are named."""

    act: Act
    wanted: Filter | None = None
    job_ids: tuple[str, ...] = ()
    pay_again: bool = False

    def document(self) -> dict[str, Any]:
        """The order as data, and as it is kept."""
        jobs = {"named": list(self.job_ids)} if self.wanted is None else {"filter": filters.document(self.wanted)}
        return {"act": str(self.act), **jobs, "pay_again": self.pay_again}


def checked(order: Order) -> Order:
    """*order*, if it can be meant; raises `CallsheetError` in words that begin with the field."""
    if order.wanted is None:
        if not 1 <= len(order.job_ids) <= MOST_NAMED or not all(map(is_job_id, order.job_ids)):
            raise CallsheetError(f"jobs: must be 1 to {MOST_NAMED} job ids")
    elif not filters.document(order.wanted):
        raise CallsheetError("filter: must hold at least one condition, or every job would be acted on")
    if order.pay_again and order.act is not Act.RETRY:
        raise CallsheetError("pay_again: is for retry alone")
    return order


def read_order(kept: Mapping[str, Any]) -> Order:
    """The order of a document of `Order.document`."""
    wanted = filters.read_filter(kept["filter"]) if "filter" in kept else None
    return Order(Act(kept["act"]), wanted, tuple(kept.get("named", ())), bool(kept["pay_again"]))


def preview(order: Order, reader: Reader, services: Services) -> dict[str, Any]:
    """Tell what *order* would do now: to how many jobs, which of them for free, and the sum of the others' prices.

    `filter` holds the moment of the preview as `until`: the same order with it acts on no newer job. Not `complete`:
    more jobs fit than one bulk act takes.
    """
    order = _until_now(order, reader)
    told, pays, codes = Counter[str](), Counter[str](), Counter[str]()
    sums: dict[str, list[Mapping[str, str]]] = {"now": [], "again": []}
    samples: list[dict[str, Any]] = []
    is_complete = True
    for outcome in _foreseen(order, reader, services):
        if outcome is None:
            is_complete = False
            break
        told["done" if outcome.is_done else "not_done"] += 1
        pays[str(outcome.pays)] += 1
        codes[outcome.code] += 1
        if outcome.is_done and outcome.pays is not Pays.NOTHING:
            sums["now"].append(outcome.costs)
        if outcome.pays is Pays.ATTEMPT_AGAIN:
            sums["again"].append(outcome.costs)
        if len(samples) < SAMPLES:
            samples.append(outcome.document())
    return {
        **order.document(),
        "preview": True,
        "jobs": told.total(),
        "done": told["done"],
        "not_done": told["not_done"],
        "pays": {str(word): pays[str(word)] for word in Pays},
        "costs": _sum(sums["now"]),
        "costs_again": _sum(sums["again"]),
        "outcomes": dict(sorted(codes.items())),
        "samples": samples,
        "complete": is_complete,
    }


def start(order: Order, by: Actor, reader: Reader, services: Services) -> str:
    """Record a bulk act, to be done by the clock; returns its id once it cannot be lost."""
    order = _until_now(order, reader)
    bulk_id = secrets.token_hex(8)
    jobs = None
    if order.wanted is None:
        known = {job.id: job.attempt for job in services.store.records.read(order.job_ids)}
        jobs = {job_id: known.get(job_id, 1) for job_id in order.job_ids}
    services.store.bulks.start(bulk_id, {**order.document(), **given_by(by)}, jobs)
    return bulk_id


def stop(bulk_id: str, services: Services) -> dict[str, Any] | None:
    """Have nothing more begun; jobs under way are finished. None where there is no such bulk act."""
    if services.store.bulks.get(bulk_id) is None:
        return None
    services.store.bulks.end(bulk_id, BulkState.STOPPED)
    return told(bulk_id, services)


def told(bulk_id: str, services: Services, *, first: int = 0, most: int = MOST_OF_PAGE) -> dict[str, Any] | None:
    """The bulk act for a program, with its results from number *first* (0); None where there is none of that id."""
    bulk = services.store.bulks.get(bulk_id) if is_job_id(bulk_id) else None
    if bulk is None:
        return None
    results = services.store.bulks.results(bulk_id, first, most)
    reported = bulk.done + bulk.not_done + bulk.interrupted
    following = first + len(results)
    return {**_row(bulk), "results": results, "next": str(following) if following < reported else None}


def every(services: Services) -> list[dict[str, Any]]:
    """All bulk acts that are kept, the newest first, without their results."""
    found = (services.store.bulks.get(bulk_id) for bulk_id in services.store.bulks.all())
    return [_row(bulk) for bulk in found if bulk is not None]


def _row(bulk: Bulk) -> dict[str, Any]:
    asked = {"by": None, "reason": None, **bulk.asked}
    return {
        "bulk": bulk.id,
        **asked,
        "state": str(bulk.state),
        "at": iso(bulk.at),
        "ended_at": None if bulk.ended_at is None else iso(bulk.ended_at),
        "jobs": bulk.jobs,
        "left": bulk.left,
        "done": bulk.done,
        "not_done": bulk.not_done,
        "interrupted": bulk.interrupted,
        "costs": f"{from_millionths(bulk.costs):f}",
        "outcomes": dict(bulk.outcomes),
    }


def _until_now(order: Order, reader: Reader) -> Order:
    if order.wanted is None:
        return order
    now = reader.store.clock.now()
    until = now if order.wanted.until is None else min(now, order.wanted.until)
    return replace(order, wanted=replace(order.wanted, until=until))


def _foreseen(order: Order, reader: Reader, services: Services) -> Iterator[Outcome | None]:
    """The outcome for each job by its record; None at last, where there are more jobs than one bulk act takes."""
    if order.wanted is None:
        views = {view.job.id: view for view in reader.views(order.job_ids)}
        for job_id in order.job_ids:
            yield _of(order, views[job_id], services) if job_id in views else no_such_job(job_id)
        return
    cursor, count = None, 0
    for _ in range(MOST_PAGES):
        found = page(reader, order.wanted, cursor, MOST_OF_PAGE)
        for view in found.jobs:
            if count == MOST_JOBS:
                yield None
                return
            count += 1
            yield _of(order, view, services)
        cursor = found.next
        if cursor is None:
            return
    yield None


def _of(order: Order, view: View, services: Services) -> Outcome:
    job, has_candidates = view.job, bool(view.candidates)
    if order.act is Act.CANCEL:
        return cancel.foreseen(job, has_candidates=has_candidates)
    if order.act is Act.RETRY:
        pay_again = order.pay_again and not retry.is_free(job)
        return retry.foreseen(job, has_candidates=has_candidates, pay_again=pay_again)
    if order.act is Act.RENOTIFY:
        return renotify.foreseen(job, services.store.history.spec_json(job.id), services.notifications)
    return ask.foreseen(job)


def no_such_job(job_id: str) -> Outcome:
    """The outcome for a job of which there is no record."""
    return Outcome(job_id, "no_such_job", f"there is no job {job_id}", is_done=False)


def do(order: Order, job_id: str, attempt: int, by: Actor, services: Services) -> Outcome:
    """Act on one job, if it still has that attempt; raises `StoreError` where nothing is known of the outcome."""
    job = services.store.jobs.get(job_id)
    if job is None:
        return no_such_job(job_id)
    if job.attempt != attempt:
        words = f"{job_id} has another attempt since this was asked for: it is {job.state}"
        return Outcome(job_id, "moved_on", words, is_done=False)
    try:
        if order.act is Act.CANCEL:
            return cancel.cancel(job_id, services, by, attempt=attempt)
        if order.act is Act.RETRY:
            pay_again = order.pay_again and not retry.is_free(job)
            return retry.retry(job_id, services, pay_again=pay_again, by=by, attempt=attempt)
        if order.act is Act.RENOTIFY:
            return renotify.renotify(job_id, services, by)
        return ask.ask(job_id, services, by)
    except NoSuchJobError:
        return no_such_job(job_id)


def _sum(costs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    priced = [Decimal(cost["amount"]) for cost in costs if cost]
    return {
        "amount": f"{sum(priced, Decimal(0)):f}",
        "currency": "USD",
        "jobs_without_price": len(costs) - len(priced),
    }


def costs_of(outcome: Outcome) -> int:
    """Millionths of USD that an act spends, as far as its price is known."""
    if not outcome.is_done or outcome.pays is Pays.NOTHING or not outcome.costs:
        return 0
    return millionths(Decimal(outcome.costs["amount"]))
