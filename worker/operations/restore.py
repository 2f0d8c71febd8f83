"""Restore: records of archived jobs from their manifests in the bucket, where Redis has lost them.

A restored record is closed: it answers a sender who sends the job again with its result, and keeps its request ids
from being taken twice. A job of the same spec that was sent again first, and of which no request is known to run, is
ended by what the bucket proves. All else that is in Redis stays.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from worker.errors import BucketError, ManifestError
from worker.jobs import manifest
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import adopt

log = logging.getLogger(__name__)

BATCH = 256
PARALLEL_READS = 16


@dataclass(frozen=True)
class Outcome:
    """The outcome for one manifest. `word` is one of

    restored    the record is there now (or would be, when only looked for)
    known       Redis has a record of the job, or its tombstone
    conflict    one of its request ids belongs to another job: nothing was written
    unreadable  `reason` says why
    """

    job_id: str
    word: str
    reason: str = ""


def run(services: Services, *, apply: bool) -> Iterator[Outcome]:
    """Go through all manifests; without *apply* nothing is written."""
    found = services.bucket.manifests()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        while batch := list(islice(found, BATCH)):
            yield from pool.map(lambda entry: _restored(entry[0], entry[1], services, apply=apply), batch)


def _restored(job_id: str, key: str, services: Services, *, apply: bool) -> Outcome:
    store = services.store
    job = store.get(job_id)
    if job is not None and (job.is_tombstone or job.state is JobState.ARCHIVED):
        return Outcome(job_id, "known")
    try:
        told = manifest.read(services.bucket.read_manifest(key), job_id=job_id)
    except (ManifestError, BucketError) as err:
        return Outcome(job_id, "unreadable", str(err))
    if job is not None and not told.is_of(job):
        return Outcome(job_id, "known")
    if not apply:
        return Outcome(job_id, "restored")
    reply = store.restore(told) if job is None else adopt.adopt(job, told, services, path="operator").word
    word = {"applied": "restored", "taken": "conflict"}.get(reply, "known")
    log.info("job.restored", extra={"job_id": job_id, "outcome": word})
    return Outcome(job_id, word, "another job has its request id" if word == "conflict" else "")


def count(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Count the outcomes by word."""
    counted = dict.fromkeys(("restored", "known", "conflict", "unreadable"), 0)
    for outcome in outcomes:
        counted[outcome.word] += 1
    return counted
