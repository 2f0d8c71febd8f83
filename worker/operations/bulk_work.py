"""The clock's part of bulk acts: take the jobs page by page, act on some at a time, keep what became of each."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from worker.errors import CallsheetError, StoreError
from worker.jobs.actor import Actor
from worker.operations import bulk
from worker.operations.bulk import Act, Order
from worker.operations.outcome import Outcome
from worker.operations.search import MOST_JOBS as MOST_OF_PAGE
from worker.operations.search import page
from worker.operations.view import Reader
from worker.services import Services
from worker.store.bulks import Bulk, BulkState, Lease

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Jobs that are acted on together: a cancel waits for the bucket, a notification for its receiver."""
REPEATABLE = frozenset({Act.CANCEL, Act.RETRY, Act.ASK})
"""Acts that are safe to do after a kill where the job's timeline shows nothing: they are bound to one attempt."""


def work(services: Services, seconds: float) -> bool:
    """Work on the bulk acts, the oldest first, for *seconds* and as long as the jobs under way then take.

    False: another process works on them. Killed anywhere, it leaves them to whoever comes once its lease has ended.
    """
    lease = services.store.bulks.lease(services.timing.bulk_lease_seconds)
    if lease is None:
        return False
    reader, until = Reader.of(services), services.monotonic() + seconds
    try:
        for bulk_id in services.store.bulks.working():
            while services.monotonic() < until and _go_on(bulk_id, lease, reader, services):
                pass
    finally:
        lease.release()
    return True


def _go_on(bulk_id: str, lease: Lease, reader: Reader, services: Services) -> bool:
    """Take the next page, or act on the next jobs; whether there is more to do, and we may."""
    bulks = services.store.bulks
    found = bulks.get(bulk_id)
    if found is None or found.state is not BulkState.WORKING:
        bulks.end(bulk_id, BulkState.STOPPED)
        return False
    if not lease.renew():
        return False
    todo = bulks.todo(bulk_id, AT_ONCE)
    if todo:
        return _act(found, dict(todo), lease, services)
    if found.is_listed:
        bulks.end(bulk_id, BulkState.DONE)
        log.info("bulk.done", extra={"bulk": bulk_id, "count": found.jobs})
        return False
    _take_page(found, reader)
    return True


def _take_page(found: Bulk, reader: Reader) -> None:
    order = bulk.read_order(found.asked)
    assert order.wanted is not None, "one that names its jobs has them all from the beginning"
    room = bulk.MOST_JOBS - found.jobs
    listed = page(reader, order.wanted, found.cursor, min(MOST_OF_PAGE, room))
    jobs = {view.job.id: view.job.attempt for view in listed.jobs}
    reader.store.bulks.page(found, jobs, listed.next if len(jobs) < room else None)


def _act(found: Bulk, todo: Mapping[str, int], lease: Lease, services: Services) -> bool:
    """Act on the jobs, each marked as begun before; whether the lease is still ours."""
    order, by = bulk.read_order(found.asked), _actor(found)
    marks = dict(zip(todo, services.store.bulks.begin(found.id, list(todo)), strict=True))
    is_ours = True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running: set[Future[None]] = {
            pool.submit(_one, found.id, order, job_id, attempt, by, services, was_begun=marks[job_id] == "again")
            for job_id, attempt in todo.items()
            if marks[job_id] != "no"
        }
        while running:
            done, running = wait(running, lease.seconds / 4, FIRST_EXCEPTION)
            is_ours = lease.renew() and is_ours
            for future in done:
                future.result()
    return is_ours


def _one(
    bulk_id: str, order: Order, job_id: str, attempt: int, by: Actor, services: Services, *, was_begun: bool
) -> None:
    """Act on one job and report it; one whose outcome Redis did not tell stays begun, and is looked at again."""
    outcome = _recovered(bulk_id, order, job_id, services) if was_begun else None
    if outcome is None:
        try:
            outcome = bulk.do(order, job_id, attempt, by, services)
        except StoreError:
            raise
        except CallsheetError as err:
            outcome = Outcome(job_id, "refused", str(err), is_done=False)
        except Exception:  # a defect met by one job; the others of its act go on
            log.exception("bulk.broke", extra={"job_id": job_id, "bulk": bulk_id})
            outcome = Outcome(job_id, "broke", f"{job_id}: a fault of ours; the log has it", is_done=False)
    counter = "interrupted" if outcome.code == "interrupted" else "done" if outcome.is_done else "not_done"
    services.store.bulks.report(bulk_id, job_id, _result(outcome), counter, bulk.costs_of(outcome))


def _recovered(bulk_id: str, order: Order, job_id: str, services: Services) -> Outcome | None:
    """The outcome for a job that a process began with and never reported; None: nothing was done, and may be."""
    entries = services.store.history.entries(job_id)
    if any(entry.path == "operator" and entry.reason.startswith(_mark(bulk_id)) for entry in entries):
        words = f"{job_id}: it was done before the process that did it ended; its timeline has it"
        return Outcome(job_id, "done_before", words)
    if order.act in REPEATABLE:
        return None
    words = f"{job_id}: the process that acted on it ended meanwhile; callsheet show {job_id} tells how it stands"
    return Outcome(job_id, "interrupted", words, is_done=False)


def _mark(bulk_id: str) -> str:
    """The beginning of the reason by which a job's timeline tells a bulk act."""
    return f"bulk {bulk_id}"


def _actor(found: Bulk) -> Actor:
    reason = found.asked.get("reason")
    return Actor(found.asked.get("by") or "unknown", f"{_mark(found.id)}{f': {reason}' if reason else ''}")


def _result(outcome: Outcome) -> dict[str, Any]:
    return {
        "job_id": outcome.job_id,
        "outcome": outcome.code,
        "words": outcome.words,
        "done": outcome.is_done,
    }
