"""The printing of an operator's act: one line, one exit status."""

from __future__ import annotations

import sys

import click

from worker.cli.output import emit_json
from worker.guard.text import printable
from worker.operations.outcome import Outcome

TOO_LATE = 3
FINAL_ALREADY = 4
STATUS = {"final": FINAL_ALREADY}
"""The exit status for an outcome that is not done, where it is not TOO_LATE."""


def give(outcome: Outcome, *, as_json: bool) -> None:
    """Print *outcome*, and end with its status."""
    status = 0 if outcome.is_done else STATUS.get(outcome.code, TOO_LATE)
    if as_json:
        emit_json(outcome.document())
    else:
        click.echo(printable(f"{'Error: ' if status else ''}{outcome.words}"), err=bool(status))
    sys.exit(status)
