"""Take a step for each job of a message, several at a time, in threads of one process.

A step waits far longer than it works: for a provider, for the bucket, for Redis'
disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from worker.errors import CallsheetError
from worker.logs import bound
from worker.services import Services
from worker.steps import Step, confirm, deliver, notify, poll, revisit, submit

log = logging.getLogger(__name__)

AT_ONCE = {Step.SUBMIT: 8, Step.CONFIRM: 8, Step.POLL: 8, Step.DELIVER: 4, Step.NOTIFY: 4, Step.REVISIT: 4}
"""Jobs of one message that are worked on together."""

RUNS: Mapping[Step, Callable[[str, Services], Step | None]] = {
    Step.SUBMIT: submit.run,
    Step.CONFIRM: confirm.run,
    Step.POLL: poll.run,
    Step.DELIVER: deliver.run,
    Step.NOTIFY: notify.run,
    Step.REVISIT: revisit.run,
}
"""The steps that are taken for a job that a message names."""

IN_THE_SAME_BREATH = frozenset({Step.DELIVER})
"""Steps that are taken at once by whoever has brought them about: somebody waits for the result."""


def take(step: Step, job_ids: Sequence[str], services: Services) -> dict[str, Step]:
    """Take *step* for each job; returns the steps worth starting at once, by job id."""
    if len(job_ids) <= 1:
        followings = [_turn(step, job_id, services) for job_id in job_ids]
    else:
        with ThreadPoolExecutor(min(AT_ONCE[step], len(job_ids))) as pool:
            followings = list(pool.map(lambda job_id: _turn(step, job_id, services), job_ids))
    return {job_id: following for job_id, following in zip(job_ids, followings, strict=True) if following}


def _turn(step: Step, job_id: str, services: Services) -> Step | None:
    return follow(_safely(step, job_id, services), job_id, services)


def follow(step: Step | None, job_id: str, services: Services) -> Step | None:
    """Take *step*, and those after it, as long as somebody waits for them; returns the next one worth starting."""
    while step in IN_THE_SAME_BREATH:
        step = _safely(step, job_id, services)
    return step


def _safely(step: Step, job_id: str, services: Services) -> Step | None:
    """Run a step; an error is a line in the log, because the job stays due and the others of its message wait."""
    with bound(step=step, job_id=job_id):
        try:
            return RUNS[step](job_id, services)
        except CallsheetError as err:
            log.error("step.postponed", extra={"reason": str(err)})
        except Exception:  # a defect met by one job
            log.exception("step.broke")
    return None
