"""`callsheet watch`: jobs as they go on, or how many stand where."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import click

from worker.cli.board import Board, Line, is_live
from worker.cli.output import emit_json
from worker.errors import StoreError
from worker.jobs.durations import span
from worker.jobs.states import JobState
from worker.operations.explain import View, explain
from worker.operations.outcome import checked_id, missing
from worker.operations.view import Reader

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""The seconds for which a silent Redis is asked again."""
INTERRUPTED = 130

EXAMPLES = """\b
Examples:
  callsheet watch
  callsheet watch order-1007 order-1008
  callsheet watch --json order-1007 | jq .state
"""


@click.command(epilog=EXAMPLES)
@click.argument("job_ids", metavar="[JOB]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for each change.")
def watch(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Watch jobs until all have ended; without any, watch how many jobs stand where.

    A terminal is redrawn, a pipe gets a line for each change. Ctrl-C ends the
    watching and nothing else.
    """
    reader = Reader.from_env(os.environ)
    ids = [checked_id(job_id) for job_id in dict.fromkeys(job_ids)]
    look = _Jobs(reader, ids) if ids else _Everything(reader)
    show = _json_teller() if as_json else _text_teller()
    try:
        while not _patiently(lambda: look.look(show)):
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


Facts = dict[str, object]
Tell = Callable[[Sequence[tuple[Line, Facts]]], None]


class _Jobs:
    """Some jobs, a line each."""

    def __init__(self, reader: Reader, job_ids: Sequence[str]) -> None:
        self._reader = reader
        self._ids = job_ids

    def look(self, tell: Tell) -> bool:
        """Tell how they stand; whether all have ended."""
        views = [self._view(job_id) for job_id in self._ids]
        tell([_of_job(view) for view in views])
        return all(view.job.is_final for view in views)

    def _view(self, job_id: str) -> View:
        view = self._reader.view(job_id)
        if view is None:
            raise missing(job_id)
        return view


class _Everything:
    """A count of open jobs by state, and the wait of the one most overdue."""

    def __init__(self, reader: Reader) -> None:
        self._store = reader.store

    def look(self, tell: Tell) -> bool:
        """Tell how they stand; never over."""
        due = self._store.due.open_ids()
        counts = Counter(outline.state for outline in self._store.records.outlines(job_id for _, job_id in due))
        late_seconds = max(0.0, (self._store.clock.now() - due[0][0]) / 1000) if due else 0.0
        rows = [
            (Line(f"{state:<12} {counts[state]:>8} open"), {"state": str(state), "open": counts[state]})
            for state in JobState
        ]
        late = Line(f"{'paused':<12} {', '.join(sorted(self._store.pauses.paused())) or 'nobody':>8}",
                    f"most overdue: {span(late_seconds)}")  # fmt: skip
        tell([*rows, (late, {"paused": sorted(self._store.pauses.paused())})])
        return False


def _of_job(view: View) -> tuple[Line, Facts]:
    job = view.job
    progress = f" {job.progress} %" if job.state is JobState.SUBMITTED else ""
    line = Line(f"{job.id}  {job.held} at {job.provider}{progress}", explain(view))
    facts = {"job_id": job.id, "state": str(job.state), "progress": job.progress, "attempt": job.attempt}
    return line, facts


def _text_teller() -> Tell:
    board = Board(sys.stdout, live=is_live(sys.stdout))
    return lambda rows: board.show([line for line, _ in rows])


def _json_teller() -> Tell:
    said: dict[int, Facts] = {}

    def tell(rows: Sequence[tuple[Line, Facts]]) -> None:
        for place, (_, facts) in enumerate(rows):
            if said.get(place) != facts:
                said[place] = facts
                emit_json(facts)

    return tell


def _patiently(look: Callable[[], bool]) -> bool:
    """*look*, again and again while Redis does not answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return look()
        except StoreError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_SECONDS)
