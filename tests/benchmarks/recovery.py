"""SIGKILL for every process of Callsheet while jobs are under way: how long until all of them move again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from deploy.local.stack import Stack
from tests.benchmarks.figures import Section, Spread, main, percentile
from tests.benchmarks.system import Backend, spec, system, tell, wait_for
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, ms
from worker.store import Store, connect

JOBS = 60
ROUNDS = 3
GENERATION_SECONDS = 4.0
UNDER_WAY_SECONDS = 4.0
"""From the first message to the kill: some jobs are accepted, some submitted, some being archived."""
PATIENCE_SECONDS = 150.0
LAST_ROUND_SECONDS = 35.0
"""No round begins later than this after the first."""
EVERYTHING = ("web", "worker", "archiver", "sweeper", "beat")


def run() -> Section:
    """From SIGKILL of every process to all jobs moving again."""
    section = Section(
        "Recovery",
        f"{JOBS} jobs of {GENERATION_SECONDS:g} s at all providers; after {UNDER_WAY_SECONDS:g} s SIGKILL for the "
        f"process groups of {', '.join(EVERYTHING)} at once, which the supervisor starts again.",
        ("round", "open at the kill", "in a POST", "all others moved after s", "p50 s", "all archived after s"),
    )
    moved: list[float] = []
    with system(generation_seconds=GENERATION_SECONDS) as stack:
        began = time.monotonic()
        while len(moved) < ROUNDS and (not moved or time.monotonic() - began < LAST_ROUND_SECONDS):
            moved.append(one_round(stack, section, len(moved) + 1))
            tell(f"recovery: all moving after {moved[-1]:.1f} s")
    spread = Spread.of(moved)
    section.judge("T13", "all jobs moving again (but for those in a POST)", "30 s", f"{spread} s", spread.median <= 30)
    return section


def one_round(stack: Stack, section: Section, number: int) -> float:
    """Kill once, watch, and wait until every job is archived; the seconds until the last one moved."""
    redis_url = stack.env["CALLSHEET_REDIS_URL"]
    store, backend = Store(connect(redis_url), retention_ms=ms(30 * DAY)), Backend(redis_url)
    tag = secrets.token_hex(3)
    job_ids = [f"kill-{tag}-{n}" for n in range(JOBS)]
    for n, job_id in enumerate(job_ids):
        backend.send(job_id, spec(n))
    time.sleep(UNDER_WAY_SECONDS)
    for name in EVERYTHING:
        stack.kill(name)
    killed_at = time.monotonic()
    before = standing(store, job_ids)
    for n, job_id in enumerate(job_ids):
        if job_id not in before:
            backend.send(job_id, spec(n))  # a message that nobody has recorded is no job yet: its sender sends it again
    still = {job_id for job_id, job in before.items() if job.state is not JobState.SUBMITTING and not _is_done(job)}
    opened, posting = len(still), sum(job.state is JobState.SUBMITTING for job in before.values())
    delays: list[float] = []

    def all_moved() -> bool:
        now = standing(store, sorted(still))
        for job_id in [job_id for job_id in still if now[job_id] != before[job_id]]:
            delays.append(time.monotonic() - killed_at)
            still.discard(job_id)
        return not still

    wait_for(all_moved, PATIENCE_SECONDS, "jobs that move again", every=0.05)
    wait_for(lambda: backend.succeeded(job_ids) == JOBS, PATIENCE_SECONDS, "all jobs archived", every=0.2)
    last = max(delays, default=0.0)
    middle = percentile(delays or [0.0], 50)
    section.add(number, opened, posting, last, middle, time.monotonic() - killed_at)
    backend.close()
    return last


def standing(store: Store, job_ids: list[str]) -> Mapping[str, Job]:
    """The recorded ones of the jobs as they are now."""
    return {job_id: job for job_id in job_ids if (job := store.jobs.get(job_id)) is not None}


def _is_done(job: Job) -> bool:
    return job.closed_at is not None


if __name__ == "__main__":
    main(run)
