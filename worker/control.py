"""Remote-control commands that a worker obeys: it answers, and cancels, and nothing else.

Whoever can write to the broker can broadcast to all workers. Celery's own
commands would let them stop workers, take their queues away, or kill a process
in the middle of a POST that is being paid for; an operator does such things
with signals (`deploy/`), so here only what Flower asks for is left.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker.control import Panel, control_command

from worker.errors import StoreError
from worker.jobs.job import is_job_id
from worker.operations import cancel
from worker.runtime import nudge, services
from worker.steps import Step

log = logging.getLogger(__name__)

ANSWERED = frozenset(
    {
        *("active", "active_queues", "clock", "conf", "ping", "query_task", "registered", "report"),
        *("reserved", "revoked", "scheduled", "stats"),
        *("enable_events", "heartbeat"),  # Flower wants to see who is there
    }
)
MOST_ASKED = 1000
"""Ids that one command may name."""

_celery_revoke = Panel.data["revoke"]

for _name in set(Panel.data) - ANSWERED:
    del Panel.data[_name]


@control_command(name="revoke", variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, **_: Any) -> Any:
    """Revoke tasks; for a job of ours that no provider has heard of, it means cancel.

    A task that runs is never terminated: it may be paying. Where messages must be
    signed it is not heeded: a broadcast is not, and could cancel anybody's job.
    """
    if services().settings.message_secrets:
        log.warning("revoke.unheeded")
        return {"error": "revoke is not heeded where messages are signed: callsheet cancel JOB"}
    asked = {found for found in list(maybe_list(task_id) or ())[:MOST_ASKED] if isinstance(found, str)}
    ours = {job_id for job_id in asked if is_job_id(job_id) and _cancelled(job_id)}
    others = sorted(asked - ours)
    if others:
        return _celery_revoke(state, others)
    return {"ok": f"cancel asked for {len(ours)} jobs"}


def _cancelled(job_id: str) -> bool:
    """Whether *job_id* is a job of ours; cancels it if it still can be."""
    try:
        reply = cancel.run(job_id, services())
    except StoreError as err:
        log.error("cancel.failed", extra={"job_id": job_id, "reason": str(err)})
        return True
    if reply.applied:
        nudge(Step.DELIVER, [job_id])
    return reply.word != "missing"
