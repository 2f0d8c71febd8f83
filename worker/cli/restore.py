"""`callsheet restore`: bring back from the bucket what Redis has lost: archived jobs, and requests that were sent."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click

from worker.cli.acting import actor, reason_option
from worker.cli.board import Board, Line, is_live
from worker.cli.output import emit_json
from worker.errors import CallsheetError
from worker.guard.text import printable
from worker.operations import restore as step
from worker.operations.restore import Outcome
from worker.services import Services
from worker.settings.settings import Settings

SHOWN_EVERY = 200
EXAMPLES = """\b
Examples:
  callsheet restore
  callsheet restore --apply
"""


@click.command(epilog=EXAMPLES)
@click.option("--apply", is_flag=True, help="Write the records; without it, only count them.")
@reason_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a line for each job, then the counts.")
def restore(apply: bool, reason: str, as_json: bool) -> None:
    """Restore the records of archived jobs from their manifests in the bucket.

    Only jobs that Redis knows nothing of, and those that were sent again before
    and wait for what the bucket has already; all else is never changed. Without
    --apply it only tells what it would do. A restored job is archived, and the
    same id sent again pays nothing.

    Jobs whose request Redis has forgotten are bound to the id that the provider
    answered, as the bucket has kept it. One without any record is named with that
    id: send it again. Exits with 1 when something in the bucket could not be used.
    """
    services = Services.from_settings(Settings.from_env(os.environ))
    outcomes = step.run(services, apply=apply, by=actor(reason))
    counted = step.count(_told(outcomes, as_json=as_json))
    if as_json:
        emit_json({"applied": apply, **counted})
    else:
        click.echo(_sum(counted, apply=apply))
    bad = counted["conflict"] + counted["unreadable"]
    if bad:
        raise CallsheetError(f"jobs in the bucket that could not be used: {bad}; each is named above")


def _told(outcomes: Iterable[Outcome], *, as_json: bool) -> Iterable[Outcome]:
    """*outcomes* as they come, with their progress shown."""
    board = Board(sys.stderr, live=is_live(sys.stderr))
    for n, outcome in enumerate(outcomes, 1):
        if as_json:
            emit_json({"job_id": outcome.job_id, "outcome": outcome.word, "reason": outcome.reason or None})
        elif outcome.reason:
            click.echo(printable(f"{outcome.job_id}: {outcome.reason}"), err=True)
        if n % SHOWN_EVERY == 0 and not as_json:
            board.show([Line(f"{n} jobs looked at")])
        yield outcome


def _sum(counted: dict[str, int], *, apply: bool) -> str:
    bound, lost = counted["bound"], counted["lost"]
    total, missing, known = sum(counted.values()) - bound - lost, counted["restored"], counted["known"]
    to_do = "" if apply or not missing + bound else "; to restore them: callsheet restore --apply"
    if apply:
        told = [f"{missing} of {total} jobs in the bucket are restored; {known} were known already"]
    else:
        told = [f"{missing} of {total} jobs in the bucket are missing in Redis; {known} are known{to_do}"]
    if bound:
        told.append(f"bound to requests that the bucket has kept{'' if apply else ', with --apply'}: {bound}")
    if lost:
        told.append(f"taken by a provider, without a record: {lost}; each is named above, send them again")
    return "\n".join(told)
