"""The demo's output: a line per job while they run, a table when they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.demo.requests import Example
from worker.cli.board import Line
from worker.cli.output import table
from worker.jobs.job import Job
from worker.jobs.states import JobState

HEAD = ("job", "provider", "model", "came by", "took s", "video s", "bytes", "SHA-256", "S3 URI")
STANDING, WHERE = (0, 1, 2, 3, 4, 5, 6), (0, 7, 8)


@dataclass(frozen=True)
class Run:
    """One example under its job id."""

    example: Example
    job_id: str


def progress_line(run: Run, job: Job | None, waited_seconds: float) -> Line:
    """Describe one job's progress and its age."""
    spec = run.example.spec
    name = f"{run.example.name:<18}  {spec['provider']:<8}  {spec['model']:<29}"
    if job is None:
        return Line(f"{name}  enqueued", f"{waited_seconds:.0f} s")
    words = {
        JobState.SUBMITTED: f"submitted, {job.progress} %",
        JobState.GENERATED: f"generated, told by {job.generated_by}; copying it to S3",
        JobState.ARCHIVED: f"archived, told by {job.generated_by}",
    }
    seconds = (job.state_at - job.accepted_at) / 1000 if job.is_final else waited_seconds
    return Line(f"{name}  {words.get(job.state, str(job.state))}", f"{seconds:.0f} s")


def row(run: Run, job: Job, result: Mapping[str, Any]) -> tuple[str, ...]:
    """One archived job for the table, from its result; how and how fast it came, from its record."""
    videos = result["videos"]
    return (
        run.job_id,
        result["provider"],
        result["model"],
        job.generated_by,
        f"{(job.state_at - job.accepted_at) / 1000:.1f}",
        " ".join(f"{video['seconds']:g}" for video in videos),
        str(sum(video["bytes"] for video in videos)),
        " ".join(video["sha256"] for video in videos),
        " ".join(video["uri"] for video in videos),
    )


def results_table(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """All columns on a line where they fit, else in two tables."""
    whole = table(HEAD, rows)
    if width is None or max(map(len, whole.splitlines())) <= width:
        return whole
    parts = ([tuple(row[n] for n in columns) for row in (HEAD, *rows)] for columns in (STANDING, WHERE))
    return "\n\n".join(table(head, body) for head, *body in parts)
