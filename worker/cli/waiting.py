"""`callsheet submit --wait`: progress until the job is final, and the exit status it deserves."""

from __future__ import annotations

import sys
import time
from typing import Protocol

import click

from worker.cli.board import Board, Line, is_live
from worker.cli.output import emit_json
from worker.errors import CallsheetError, StoreError
from worker.guard.text import printable
from worker.jobs.durations import span
from worker.jobs.job import Job
from worker.jobs.result import error_of, result_of
from worker.jobs.states import JobState
from worker.store import Store

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""The seconds for which a silent store is asked again while somebody waits."""
INTERRUPTED = 130


def wait_for(job_id: str, store: Store, *, timeout_seconds: float | None, as_json: bool) -> None:
    """Return when the job is archived; exit with status 1 when it ends otherwise or time is up.

    Ctrl-C ends the waiting, never the job.
    """
    teller: _Teller = _JsonTeller() if as_json else _TextTeller()
    try:
        job = _follow(job_id, store, teller, timeout_seconds)
    except KeyboardInterrupt:
        click.echo(f"\nthe job goes on; look at it: callsheet show {job_id}", err=True)
        sys.exit(INTERRUPTED)
    if as_json:
        emit_json(result_of(job, store.history.spec_json(job.id)))
    elif job.state is JobState.ARCHIVED:
        for video in job.videos:
            click.echo(f"{printable(video.uri)}  {video.bytes} bytes, {video.seconds:g} s, sha256 {video.sha256}")
    if job.state is not JobState.ARCHIVED:
        raise CallsheetError(_end(job))


def _follow(job_id: str, store: Store, teller: _Teller, timeout_seconds: float | None) -> Job:
    """Look at the job until it is final."""
    started = time.monotonic()
    while True:
        waited = time.monotonic() - started
        left = float("inf") if timeout_seconds is None else timeout_seconds - waited
        job = _read(job_id, store, patience_seconds=min(PATIENCE_SECONDS, left))
        teller.tell(job, waited)
        if job.is_final:
            return job
        if left <= 0:
            raise CallsheetError(
                f"job {job_id} is still {job.state} after {span(waited)}; it goes on: callsheet show {job_id}"
            )
        time.sleep(min(LOOK_SECONDS, left))


def _read(job_id: str, store: Store, *, patience_seconds: float) -> Job:
    """The record, asked for again while the store does not answer."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            job = store.jobs.get(job_id)
        except StoreError as err:
            if time.monotonic() >= deadline:
                raise StoreError(f"{err}; the job goes on: callsheet show {job_id}") from err
            time.sleep(LOOK_SECONDS)
            continue
        if job is None:
            raise CallsheetError(f"the record of job {job_id} is gone: was Redis emptied? callsheet doctor looks")
        return job


def _end(job: Job) -> str:
    error = error_of(job)
    if error is None:
        return f"job {job.id} was {job.state}"
    why = f"{error.stage} ({error.code}): {error.message}"
    return printable(f"job {job.id} {job.state}: {why}; more: callsheet show {job.id}")


class _Teller(Protocol):
    """Says how the job stands."""

    def tell(self, job: Job, waited_seconds: float, /) -> None: ...


class _TextTeller:
    def __init__(self) -> None:
        self._board = Board(sys.stdout, live=is_live(sys.stdout))

    def tell(self, job: Job, waited_seconds: float, /) -> None:
        at = f" at {job.provider}" if job.state is JobState.SUBMITTED else ""
        progress = f" {job.progress} %" if job.state is JobState.SUBMITTED else ""
        self._board.show([Line(f"{job.state}{at}{progress}", span(waited_seconds))])


class _JsonTeller:
    def __init__(self) -> None:
        self._said: tuple[JobState, int] | None = None

    def tell(self, job: Job, _waited_seconds: float, /) -> None:
        if self._said != (job.state, job.progress) and not job.is_final:
            self._said = (job.state, job.progress)
            emit_json({"job_id": job.id, "state": str(job.state), "progress": job.progress, "provider": job.provider})
