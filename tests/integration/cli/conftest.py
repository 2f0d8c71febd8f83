"""The command line as a process of its own, in an environment of its own, on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SandboxProcess
from worker.cli import main
from worker.jobs.job import Job, JobError, Video, videos_json
from worker.jobs.states import JobState
from worker.services import open_store
from worker.settings.settings import Settings
from worker.store import Fields, Store

ROOT = Path(__file__).parents[3]
LEASE_MS = 60_000
VIDEO = Video("s3://bucket/j1/1-1.mp4", 1000, "ab" * 32, 5.0, 1920, 1080)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def environment(redis_url: str, bucket_name: str, s3: S3Server, sandbox: SandboxProcess) -> dict[str, str]:
    return complete_environment(redis_url, bucket_name, s3, sandbox)


def complete_environment(redis_url: str, bucket_name: str, s3: S3Server, sandbox: SandboxProcess) -> dict[str, str]:
    """A complete configuration: nothing of whoever runs the tests."""
    keys = {
        f"{name.upper()}_{option}": value
        for name in ("gmicloud", "evolink", "apimart")
        for option, value in (("API_KEY", "key-of-a-test"), ("BASE_URL", sandbox.base_url(name)))
    }
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": bucket_name,
        "CALLSHEET_CA_FILE": str(sandbox.ca_file),
        **keys,
        **s3.env,
    }


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "worker.cli", *arguments]


def is_one_clear_line(done: subprocess.CompletedProcess[str], status: int) -> bool:
    """Whether it failed with *status* and one line on stderr, nothing on stdout and no traceback."""
    lines = done.stderr.splitlines()
    return done.returncode == status and len(lines) == 1 and lines[0].startswith("Error: ") and done.stdout == ""


@pytest.fixture
def callsheet(environment: dict[str, str]) -> Run:
    """`callsheet("show", "j1", env={...}, stdin="...")` in this process; *env* overrides, None unsets.

    Not for what sends messages: the Celery application of a process is made once.
    """

    def run(
        *arguments: str, env: Mapping[str, str | None] | None = None, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        done = CliRunner().invoke(
            main,
            arguments,
            env={**environment, **(env or {})},
            input=stdin,
            prog_name="callsheet",
            catch_exceptions=False,
        )
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def callsheet_process(environment: dict[str, str]) -> Run:
    """The same in a process of its own."""

    def run(*arguments: str, env: Mapping[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
        merged = {**environment, **(env or {})}
        return subprocess.run(
            _command(arguments),
            env={name: value for name, value in merged.items() if value is not None},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def start_callsheet(environment: dict[str, str]) -> Iterator[Start]:
    """Start it and let it run; it is killed after the test."""
    started = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        env = {**environment, "TERM": "xterm"}
        process: subprocess.Popen[str] = subprocess.Popen(
            _command(arguments), env=env, cwd=ROOT, text=True, start_new_session=True, **streams
        )  # type: ignore[call-overload]
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store(environment: dict[str, str]) -> Store:
    return open_store(Settings.from_env(environment))


@pytest.fixture
def living(store: Store) -> None:
    """A sign of each process of the Procfile, as if all ran."""
    kinds = ("web", "worker", "archiver", "sweeper", "beat", "tick")
    store.heartbeats.beat(kinds, host="here", pid=1, version="1.0")


class Lives:
    """Moves a recorded job on as workers would."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def accept(self, job_id: str, provider: str = "evolink") -> None:
        self.store.jobs.accept(job_id, spec_json="{}", spec_sha256="0" * 64, provider=provider, model="m", request=None)

    def submit(self, job_id: str, *, due_in_ms: int = 60_000) -> Job:
        claim = self.store.due.claim(job_id, states=(JobState.ACCEPTED,), lease_ms=LEASE_MS)
        assert claim is not None
        assert self.store.attempts.begin(claim).applied
        return self._moved(
            self.store.attempts.bind(
                job_id,
                attempt=1,
                provider=claim.job.provider,
                request_id=f"r-{job_id}",
                path="submit",
                due_in_ms=due_in_ms,
            ).job
        )

    def progress(self, job_id: str, percent: int) -> None:
        claim = self.store.due.claim(job_id, states=(JobState.SUBMITTED,), lease_ms=LEASE_MS)
        assert claim is not None
        self.store.due.rest(claim, due_in_ms=60_000, facts={"progress": str(percent)})

    def archive(self, job_id: str) -> Job:
        self.store.jobs.move(job_id, JobState.GENERATED, attempt=1, path="poll", facts={"generated_by": "poll"})
        facts: Fields = {"videos": videos_json((VIDEO,))}
        return self._moved(self.store.jobs.move(job_id, JobState.ARCHIVED, attempt=1, path="poll", facts=facts).job)

    def fail(self, job_id: str, error: JobError) -> None:
        self.close(
            self._moved(self.store.jobs.move(job_id, JobState.FAILED, attempt=1, path="submit", error=error).job)
        )

    def close(self, job: Job) -> None:
        assert self.store.jobs.delivered(job.id, ver=job.ver, outputs="result", rest_in_ms=0).applied

    def _moved(self, job: Job | None) -> Job:
        assert job is not None
        return job


@pytest.fixture
def lives(store: Store) -> Lives:
    return Lives(store)
