"""The budget: what the caps count, in one place for all shards, so that no number of workers passes a cap.

A POST's cost is reserved before its intent is written, under its job and attempt, and corrected to what the record says
whenever that changes, and once more before the job is closed. Versions order all that, so an answer that was lost, a
worker that comes late and a correction that is made twice change nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.errors import StoreError
from worker.jobs.caps import CapName, Caps
from worker.jobs.job import Job
from worker.jobs.money import DAY_MS, day_of, month_text
from worker.store.replies import Claim
from worker.store.scripts import Scripts, store_errors

log = logging.getLogger(__name__)

KEPT_MS = 35 * DAY_MS
"""The life of a month's budget after the last change in it."""


@dataclass(frozen=True)
class Counted:
    """The counts of the caps, millionths: reserved, spent and unknown. `day` is the UTC day asked about."""

    day: int
    daily: int
    monthly: int
    tenants: Mapping[str, int] = field(default_factory=dict)  # of the day, by tenant


@dataclass(frozen=True)
class Reservation:
    """The answer to a POST that asks for money. `passed`: the cap that it would pass; None: none."""

    passed: CapName | None
    is_ours: bool  # whether it counts, and is to be given back when the POST is not begun


class Budget:
    """The budget of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def reserve(self, claim: Claim, caps: Caps, *, cost: int) -> Reservation:
        """Count *cost* (millionths) for the next POST under *claim*, unless a cap would be passed."""
        job, day = claim.job, day_of(claim.now)
        most = caps.millionths(job.tenant)
        args: list[str | int] = [_post(job.id, job.attempt), cost, job.ver, claim.now, day, job.tenant, KEPT_MS]
        args += [str(most.get(name, "")) for name in (CapName.TENANT, CapName.MONTHLY, CapName.DAILY)]
        word, passed = self._scripts.run("reserve", self._scripts.keys.budget(month_text(day)), args)
        return Reservation(CapName(passed) if passed else None, word == 1)

    def give_back(self, claim: Claim) -> None:
        """Give back what *claim* has reserved for a POST that was not begun."""
        job, day = claim.job, day_of(claim.now)
        args: list[str | int] = [job.ver, claim.now, KEPT_MS, _post(job.id, job.attempt), 0, day, job.tenant]
        self._scripts.run("correct", self._scripts.keys.budget(month_text(day)), args)

    def correct(self, job: Job) -> None:
        """Have the budget count what *job*, as read, says of each of its attempts.

        One that Redis does not take is a line in the log: it is made again before the job is closed.
        """
        today, by_month = day_of(self._scripts.clock.now()), dict[str, list[str | int]]()
        for attempt in range(1, job.attempt + 1):
            money = job.money.get(attempt)
            day, amount = (money.day, money.counted) if money else (today, 0)
            by_month.setdefault(month_text(day), []).extend([_post(job.id, attempt), amount, day, job.tenant])
        try:
            for month, attempts in by_month.items():
                self._scripts.run("correct", self._scripts.keys.budget(month), [job.ver, "", KEPT_MS, *attempts])
        except StoreError as err:
            log.warning("budget.uncorrected", extra={"job_id": job.id, "reason": str(err)})

    def counted(self, tenants: Collection[str] = (), day: int | None = None) -> Counted:
        """The count of *day* (today) and in its month, and of it that of *tenants*."""
        day = day_of(self._scripts.clock.now()) if day is None else day
        names = sorted(tenants)
        with store_errors():
            key = self._scripts.keys.budget(month_text(day))[0]
            fields = [str(day), "month", *(f"{day} {name}" for name in names)]
            found: list[Any] = self._scripts.client.hmget(key, fields)
        daily, monthly, *of_tenants = (int(value or 0) for value in found)
        return Counted(day, daily, monthly, dict(zip(names, of_tenants, strict=True)))


def _post(job_id: str, attempt: int) -> str:
    return f"{job_id}:{attempt}"
