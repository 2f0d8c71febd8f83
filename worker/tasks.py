"""The Celery tasks: each takes job ids, runs a step, and nudges what comes next.

`callsheet.generate` is the door for backends in any language and the only task
that Flower shows; the others are internal nudges, which may be lost or doubled.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from celery.exceptions import Ignore, Reject
from celery.signals import worker_process_shutdown, worker_ready
from celery.worker.request import Request
from celery.worker.state import task_ready

from worker import runtime
from worker.celery import app
from worker.errors import CallsheetError, JobFailed, ResultError, SpecConflict, SpecError, StoreError
from worker.jobs.job import Job, is_job_id
from worker.jobs.timing import MINUTE
from worker.logs import bound
from worker.messaging import nudges
from worker.messaging.results import GENERATE, CeleryResults, capture
from worker.operations import bulk_work
from worker.runtime import late_places, notify_pool, nudge, places, services, starter, ticked
from worker.steps import Step, accept, batch, retell, sweep

log = logging.getLogger(__name__)

MOST_JOBS = 1000
"""Job ids that are read of one message; ours name fewer, and the sweep finds whoever is left out."""
QUICK_COPY_SECONDS = 10.0
"""The wait of an `archive` message for the copies it started, so that a worker that is stopped ends those that are
nearly done. Others go on while the process takes other messages."""
BULK_SECONDS = 20.0
"""The time that one message works on bulk acts; the next tick sends another."""
LAST_WORDS_SECONDS = 5.0
"""The time that an ending process waits for receivers of notifications; most answer within a second."""
GENERATE_SECONDS = 120
"""Longer than recording a job may take, whatever Redis does: its calls end within seconds."""
STORE_PAUSE_SECONDS = 2.0
"""The pause before the message of a job that could not be recorded goes back to the queue."""


@worker_ready.connect
def look_at_durability(**_: Any) -> None:
    """Have a store that a power loss can set back said loudly, before anything is paid (`Scripts.durability`)."""
    with suppress(StoreError):  # a Redis that is not up yet is looked at by whoever writes first
        log.info("worker.ready", extra={"durability": services().store.server.durability})


@worker_process_shutdown.connect
def end_notifications(**_: Any) -> None:
    """Let a process that ends finish what it has begun to tell, for a while."""
    runtime.end_notifications(LAST_WORDS_SECONDS)


class GenerateRequest(Request):
    """Keeps the spec, and with it the prompt, out of events, logs and Flower; and the row there open."""

    @property
    def argsrepr(self) -> str:
        return "()"

    @property
    def kwargsrepr(self) -> str:
        return "<spec>"

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  Celery's name
        """Celery's events, but for the end: the job's own is told when it is delivered."""
        if type != "task-succeeded":
            super().send_event(type, **fields)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Put the message back after a hard limit, which killed the process that was recording its job.

        Celery's own way is to write a failure down as the job's result, which it is not.
        """
        if soft:
            super().on_timeout(soft, timeout)
            return
        task_ready(self)
        log.error("job.unrecorded", extra={"job_id": self.id, "reason": f"not done within {timeout:g} s"})
        self.reject(requeue=True)

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002  asked for with the arguments, too
        return {**super().info(safe=True), "args": self.argsrepr, "kwargs": self.kwargsrepr}


@app.task(
    bind=True,
    Request=GenerateRequest,
    name=GENERATE,
    acks_late=True,
    reject_on_worker_lost=True,
    track_started=False,  # the automatic write would replace a FAILURE when the message comes twice
    ignore_result=False,
    throws=(JobFailed,),  # said in one event of ours, not in a traceback
    time_limit=GENERATE_SECONDS,
    typing=False,  # wrong arguments are refused in our own words
)
def generate(self: Any, *args: Any, **fields: Any) -> None:
    """Record the job that the caller's task id names, and start it.

    Its result comes when the job has ended: `AsyncResult(task_id).get()` waits
    for the video. Without fields, the job must have been recorded by the client.
    """
    job_id = self.request.id
    try:
        if args:
            raise SpecError(["a spec is given by keyword, not by position: kwargs={'model': ..., ...}"])
        with bound(job_id=job_id):
            _show(_accept(job_id, fields, capture(self.request)))
    except SpecConflict as err:
        CeleryResults(app, services().store).refuse(self.request, JobFailed("spec_conflict", str(err), "accept"))
        raise Ignore from None
    except SpecError as err:
        problems = "; ".join(err.problems)
        log.warning("spec.refused", extra={"job_id": job_id, "problems": problems})
        raise JobFailed("spec_refused", problems, "accept") from None
    except Exception as err:  # noqa: BLE001  only a fault of the spec's own ends a job: all else may be mended
        reason = str(err) if isinstance(err, CallsheetError) else type(err).__name__
        log.error("job.unrecorded", extra={"job_id": job_id, "reason": reason})
        time.sleep(STORE_PAUSE_SECONDS)
        raise Reject(reason, requeue=True) from None
    # The result and what the caller hung on the task are the ended job's. Raising `Ignore` would say the same,
    # but Celery would then pack up a traceback, which costs more than all that was done here.
    self.request.update(ignore_result=True, callbacks=None, chain=None, chord=None)


def _show(job: Job) -> None:
    """Start a job that is open; tell one that is final to whoever sent it again, as its result may have expired."""
    if not job.is_final:
        services().results.started(job)
        starter().nudge(job.id)
    elif job.told_ver < job.ver:
        nudge(Step.DELIVER, [job.id])
    else:
        try:
            services().results.tell(job)
        except (ResultError, StoreError) as err:
            # raised from here, it would be written down as the job's own failure
            log.error("result.untold", extra={"job_id": job.id, "reason": str(err)})


def _accept(job_id: str, fields: dict[str, Any], request: str) -> Job:
    """The record of the job that this message asks for."""
    if fields:
        job = accept.run(job_id, fields, services(), request=request).job
    else:
        services().store.history.save_request(job_id, request)
        job = services().store.jobs.get(job_id)
    if job is None:
        raise SpecError(["model is not set, and no job of this id is recorded: send the whole spec"])
    return job


def _internal(step: str, *, hard_seconds: float) -> Callable[[Callable[..., None]], Any]:
    """A task of our own: no row in Flower, no result, acknowledged when it starts.

    Its process is killed and replaced after *hard_seconds*, which is more than all limits within can add up to. That
    loses nothing: the jobs stay due, and what a step had under way is found as after any other kill.
    """
    return app.task(name=f"callsheet.{step}", send_events=False, ignore_result=True, time_limit=int(hard_seconds))


@_internal("submit", hard_seconds=20 * MINUTE)
def run_submit(job_ids: list[str]) -> None:
    """Submit each job that waits for it."""
    _take(Step.SUBMIT, job_ids)


@_internal("poll", hard_seconds=10 * MINUTE)
def run_poll(job_ids: list[str]) -> None:
    """Ask the provider about each job."""
    _take(Step.POLL, job_ids)


@_internal("confirm", hard_seconds=10 * MINUTE)
def run_confirm(job_ids: list[str]) -> None:
    """Confirm what callbacks said of each job; what the receiver sends."""
    _take(Step.CONFIRM, job_ids)


@_internal("archive", hard_seconds=10 * MINUTE)
def run_archive() -> None:
    """Copy the most urgent videos: have this process's places at work, and wait for those that are done soon."""
    places().work(QUICK_COPY_SECONDS)


@_internal("deliver", hard_seconds=10 * MINUTE)
def run_deliver(job_ids: list[str]) -> None:
    """Hand out the result and the manifest of each final job."""
    _take(Step.DELIVER, job_ids)


@_internal("revisit", hard_seconds=5 * MINUTE)
def run_revisit(job_ids: list[str]) -> None:
    """Hand final jobs whose video may still come to this process's places for them: a late video may take hours."""
    late_places().offer(_named(job_ids))


@_internal("notify", hard_seconds=5 * MINUTE)
def run_notify(job_ids: list[str]) -> None:
    """Hand the notifications of final jobs to this process's threads, which hold no slot while a receiver is slow."""
    notify_pool().offer(_named(job_ids))


@_internal("bulk", hard_seconds=10 * MINUTE)
def run_bulk() -> None:
    """Go on with the bulk acts that operators have asked for; one process at a time does."""
    try:
        bulk_work.work(services(), BULK_SECONDS)
    except StoreError as err:
        log.error("bulk.postponed", extra={"reason": str(err)})


@_internal("retell", hard_seconds=10 * MINUTE)
def run_retell() -> None:
    """Look at a page of what callers were told, after Redis may have been set back."""
    following = retell.run(services())
    if following is not None:
        nudge(following, ())


@_internal("sweep", hard_seconds=5 * MINUTE)
def run_sweep() -> None:
    """One tick of the clock; one of several that waited in their queue is enough."""
    ticked().beat()
    are_waiting = cache(partial(nudges.are_waiting, app))  # each queue is looked at once a tick
    try:
        if services().store.due.begin_sweep():
            sweep.run(services(), nudge, lambda step: are_waiting(nudges.queue_of(step)))
            if services().store.bulks.are_waiting():
                nudge(Step.BULK, [])
    except StoreError as err:
        log.error("sweep.missed", extra={"reason": str(err)})


def _take(step: Step, given: object) -> None:
    """Take a step for the jobs that a message names; nudge what comes next, many jobs of one step in one message."""
    wanted = batch.take(step, _named(given), services())
    for following in Step:
        job_ids = [job_id for job_id, named in wanted.items() if named is following]
        if job_ids:
            nudge(following, job_ids)


def _named(job_ids: object) -> list[str]:
    """The jobs that a message names, each once; what can be no job id is left out and logged by its number."""
    given = job_ids if isinstance(job_ids, list) else [None]
    named = list(dict.fromkeys(filter(is_job_id, given)))[:MOST_JOBS]
    if len(named) < len(given):
        log.warning("nudge.cut", extra={"given": len(given), "taken": len(named)})
    return named
