"""The standing of a job's notification, as the record tells it."""

from __future__ import annotations

from dataclasses import dataclass

from worker.jobs.job import Job

FARTHEST_MS = 5 * 60 * 60 * 1000
"""No try is planned farther ahead: one that is was planned while the clock was ahead, and is due (`lua/_close.lua`)."""


@dataclass(frozen=True)
class Tries:
    """The tries that failed at one version's notification. Instants are Unix ms."""

    count: int = 0
    first_at: int = 0
    next_at: int = 0

    def text(self, ver: int) -> str:
        """As the record's field `notify_tries`."""
        return f"{ver}:{self.count}:{self.first_at}:{self.next_at}"


def tries_of(job: Job) -> Tries:
    """The tries at the present version; those of an older one count no more."""
    ver, *numbers = job.notify_tries.split(":")
    return Tries(*map(int, numbers)) if ver == str(job.ver) else Tries()


def is_pending(job: Job) -> bool:
    """Whether a final job's notification is still to be taken by its receiver."""
    if not job.is_final or job.notified_ver is None:
        return False
    return job.notified_ver < job.ver and job.notify_dead != job.ver


def is_dead(job: Job) -> bool:
    """Whether the notification of the job as it stands was given up."""
    return job.notified_ver is not None and job.notified_ver < job.ver and job.notify_dead == job.ver


def is_due(job: Job, now: int) -> bool:
    """Whether a try at a pending notification may be made; *now* is Unix ms."""
    next_at = tries_of(job).next_at
    return is_pending(job) and (next_at <= now or next_at > now + FARTHEST_MS)


def standing(job: Job) -> str | None:
    """The state of the notification: `pending`, `delivered` or `dead`; None where none is wanted, or the job
    has not ended."""
    if job.notified_ver is None or not job.is_final:
        return None
    return "dead" if is_dead(job) else "pending" if is_pending(job) else "delivered"
