"""The demo from start to verdict: a system of its own, nine jobs, nine verified videos."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

from deploy.demo.backend import Backend, Waiting
from deploy.demo.listener import Listener
from deploy.demo.proof import Ledger, Prover
from deploy.demo.requests import EXAMPLES
from deploy.demo.screen import Run, progress_line, results_table, row
from deploy.local.datadir import DEFAULT, DataDirectory
from deploy.local.environment import OF_THE_MACHINE
from deploy.local.signals import StopSignals
from deploy.local.stack import Stack
from deploy.local.up import console_link
from worker.cli.board import Board, is_live
from worker.cli.output import terminal_width
from worker.errors import LocalError, StoreError
from worker.guard.text import printable
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.services import Services

GENERATION_SECONDS = 14.0
"""Long enough to watch; a provider that does not call back is first polled at about 12 s."""
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.25
NOTIFY_SECONDS = 20.0
"""The time that the notification of a job may take whose result is there: a first try may have failed."""
INTERRUPTED = 130

MINE = ("CALLSHEET_REDIS_URL", "CALLSHEET_BROKER_URL", "CALLSHEET_RESULT_BACKEND")
MY_S3 = ("CALLSHEET_BUCKET", "CALLSHEET_BUCKET_PREFIX")


def run(directory: Path | None, *, keep: bool = False) -> None:
    """Run the demo in *directory*; raises `LocalError` unless every video is in the bucket and verified.

    With *keep* the system then stays up, for people to look at, until it is stopped.
    """
    data = directory or DEFAULT / "demo"
    with StopSignals() as signals:
        board = Board(sys.stdout, live=is_live(sys.stdout))
        empty(data)
        listener = Listener()
        stack = Stack(
            data,
            env={
                **demo_environment(os.environ),
                "CALLSHEET_NOTIFY_URL": f"{listener.url}/callsheet",
                "CALLSHEET_NOTIFY_HOSTS": listener.url,
            },
            tell=board.note,
            generation_seconds=GENERATION_SECONDS,
            cancelled=signals.asked,
            hurried=signals.hurried,
        )
        click.echo("starting Valkey, S3, the providers' sandbox, the receiver, the workers, beat and Flower")
        started = time.monotonic()
        try:
            with listener, stack:
                click.echo(f"up after {time.monotonic() - started:.1f} s")
                listener.secret = stack.env["CALLSHEET_NOTIFY_SECRETS"]
                Demo(stack, board, signals, listener).run()
                if keep:
                    click.echo(f"look at the jobs: {console_link(stack)}\nCtrl-C stops it in order")
                    signals.wait()
                click.echo("stopping in order")
        except KeyboardInterrupt:
            click.echo("stopped; nothing is left running")
            sys.exit(INTERRUPTED)


def demo_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The part of *env* that the demo uses: a Redis and an S3 of yours, never a provider, so the demo pays nothing."""
    names = (*OF_THE_MACHINE, "PATH", *MINE)
    own_s3 = bool(env.get("AWS_ENDPOINT_URL_S3"))
    return {
        name: value
        for name, value in env.items()
        if name in names or (own_s3 and (name in MY_S3 or name.startswith("AWS_")))
    }


class Demo:
    """Nine jobs on a running system."""

    def __init__(self, stack: Stack, board: Board, signals: StopSignals, listener: Listener) -> None:
        self._stack = stack
        self._listener = listener
        self._board = board
        self._signals = signals
        tag = secrets.token_hex(3)
        self._runs = [Run(example, f"{example.name}-{tag}") for example in EXAMPLES]
        self._jobs: dict[str, Job] = {}
        self._began = time.monotonic()

    def run(self) -> None:
        os.environ.update(self._stack.env)  # from here on this process is a service beside the system
        services = Services.from_settings(self._stack.settings)
        settings = services.settings
        backend = Backend(settings.broker_url, settings.result_backend)
        self._enqueue(backend, services)
        waiting = backend.wait_for([run.job_id for run in self._runs], timeout_seconds=PATIENCE_SECONDS)
        self._watch(waiting, services)
        self._judge(waiting)

    def _enqueue(self, backend: Backend, services: Services) -> None:
        from worker.client import enqueue  # its Celery app reads the environment, which is set by now

        by_message = sum(run.example.by_message for run in self._runs)
        click.echo(
            f"enqueueing {len(self._runs)} jobs, {by_message} of them by plain Celery messages; "
            f"a generation takes {GENERATION_SECONDS:g} s"
        )
        self._began = time.monotonic()
        for run in self._runs:
            if run.example.by_message:
                backend.send(run.job_id, run.example.spec)
            else:
                enqueue(run.example.spec, run.job_id, services=services)

    def _watch(self, waiting: Waiting, services: Services) -> None:
        """Show how the jobs stand until the backend service has all its results."""
        while not waiting.is_over:
            if self._signals.asked():
                click.echo("stopping in order; Ctrl-C again hurries it")
                raise KeyboardInterrupt
            self._show(services)
            time.sleep(LOOK_SECONDS)
        self._show(services)

    def _show(self, services: Services) -> None:
        try:
            found = {run.job_id: services.store.jobs.get(run.job_id) for run in self._runs}
        except StoreError:
            return  # the supervisor tells of a Redis that died, and brings it back
        self._jobs = {job_id: job for job_id, job in found.items() if job}
        waited_seconds = time.monotonic() - self._began
        self._board.show([progress_line(run, found[run.job_id], waited_seconds) for run in self._runs])

    def _judge(self, waiting: Waiting) -> None:
        """Fetch every video back, compare, and tell; raises `LocalError` naming each job that failed."""
        videos = self._stack.data.path / "videos"
        videos.mkdir(exist_ok=True)
        prover = Prover(videos, Ledger(self._stack.sandbox.url, self._stack.sandbox.ca_file))
        rows, faults = [], []
        for run in self._runs:
            result, job = waiting.results.get(run.job_id), self._jobs.get(run.job_id)
            if result is None or job is None or job.state is not JobState.ARCHIVED:
                faults.append(f"{run.job_id}: {waiting.failures.get(run.job_id, 'no record')} ({_state(job)})")
                continue
            rows.append(row(run, job, result))
            if not self._is_notified(run.job_id):
                faults.append(f"{run.job_id}: no signed notification of it came")
            faults += [f"{run.job_id}: {problem}" for problem in prover.problems(run.example.name, result)]
        click.echo(f"\n{results_table(rows, terminal_width())}\n")
        if faults:
            for fault in faults:
                click.echo(printable(fault), err=True)
            raise LocalError(f"not every video is there and verified; the logs are in {self._stack.data.logs}")
        click.echo(
            f"{len(rows)} of {len(self._runs)} videos are in the bucket and verified: fetched back from S3, "
            f"whole MP4s, the same bytes as recorded and as served\n{self._notified()}\n"
            f"open them: {shlex.quote(str(videos))}"
        )

    def _is_notified(self, job_id: str) -> bool:
        """Whether the end of the job was told to the listener, which may take a moment more."""
        deadline = time.monotonic() + NOTIFY_SECONDS
        while job_id not in self._listener.told and time.monotonic() < deadline:
            time.sleep(0.05)
        return job_id in self._listener.told

    def _notified(self) -> str:
        """Count the notifications that came, and their delay after the end of their jobs."""
        told = self._listener.told
        waits = sorted(at - self._jobs[job_id].state_at for job_id, (at, _) in told.items() if job_id in self._jobs)
        return (
            f"{len(waits)} notifications came, each with a signature that is right (Standard Webhooks), half of them "
            f"within {waits[len(waits) // 2]} ms of the end of their jobs"
        )


def _state(job: Job | None) -> str:
    if job is None:
        return "not recorded"
    return f"{job.state}; {job.waiting_for}" if job.waiting_for else str(job.state)


def empty(data: Path) -> None:
    """Clear away what an earlier demo left in *data*: its unfinished jobs are not gone on with."""
    directory = DataDirectory(data)
    directory.claim()  # somebody's running demo is not cleared away
    try:
        if (data / "secrets.json").exists():  # else it is not ours: nothing of it is touched
            for name in ("valkey", "s3", "videos"):
                shutil.rmtree(data / name, ignore_errors=True)
    finally:
        directory.release()
