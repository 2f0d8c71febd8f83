"""`--where`: the same act on many jobs, with what it costs told before."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from worker.cli.board import Board, Line, is_live
from worker.cli.output import emit_json
from worker.guard.text import printable
from worker.jobs.actor import Actor
from worker.jobs.durations import iso, parse_span
from worker.operations import bulk, bulk_work
from worker.operations.bulk import Act, Order
from worker.operations.filters import INSTANTS, read_filter
from worker.operations.view import Reader
from worker.services import Services

F = TypeVar("F", bound=Callable[..., Any])

NOT_DONE = 3
SHORT = {"code": "error_code"}
AT_ONCE_SECONDS = 1.0
"""Work between two lines of progress."""


def many(verb: F) -> F:
    """Give *verb* the options of an act on many jobs."""
    verb = click.option("--yes", is_flag=True, help="Do it without asking.")(verb)
    return click.option(
        "--where",
        "conditions",
        metavar="NAME=VALUE",
        multiple=True,
        help="All jobs that fit instead of JOB: state, provider, tenant, code, batch, since ...; repeat it.",
    )(verb)


def only_one(job_id: str | None, conditions: Sequence[str]) -> None:
    """Refuse a command line that names both a job and conditions, or neither."""
    if (job_id is None) == (not conditions):
        raise click.UsageError("give a JOB, or --where NAME=VALUE")


def act_on_many(
    act: Act,
    conditions: Sequence[str],
    services: Services,
    by: Actor,
    *,
    pay_again: bool = False,
    preview: bool = False,
    yes: bool = False,
    as_json: bool = False,
) -> None:
    """Tell what the act would do and cost, ask, do it, and show how it goes on.

    Once begun it is the system's: after Ctrl-C the clock goes on with it. Exits with 3 where a job was not acted on.
    """
    reader = Reader.of(services)
    order = bulk.checked(
        Order(act, read_filter(_conditions(conditions, services.store.clock.now())), pay_again=pay_again)
    )
    told = bulk.preview(order, reader, services)
    if preview or not told["jobs"]:
        emit_json(told) if as_json else click.echo(_preview(told))
        sys.exit(0)
    if not as_json or not yes:
        click.echo(_preview(told), err=True)
    if not yes and not click.confirm(f"{act} {told['done']} jobs?", err=True):
        raise click.Abort
    bulk_id = bulk.start(bulk.read_order(told), by, reader, services)
    done = _followed(bulk_id, services, as_json=as_json)
    emit_json(done) if as_json else click.echo(_done(done))
    sys.exit(NOT_DONE if done["not_done"] or done["interrupted"] or done["state"] != "done" else 0)


def _followed(bulk_id: str, services: Services, *, as_json: bool) -> dict[str, Any]:
    """Work on it as the clock does, beside it, until it has ended."""
    board = Board(sys.stderr, live=is_live(sys.stderr))
    if not as_json:
        click.echo(f"bulk act {bulk_id} has begun; after Ctrl-C the workers go on with it", err=True)
    while True:
        if not bulk_work.work(services, AT_ONCE_SECONDS):
            time.sleep(AT_ONCE_SECONDS)  # a worker is at it
        told = bulk.told(bulk_id, services, most=bulk.MOST_JOBS)
        assert told is not None
        if not as_json:
            board.show([Line(f"{told['done'] + told['not_done'] + told['interrupted']} of {told['jobs']} jobs")])
        if told["state"] != "working":
            return told


def _conditions(texts: Sequence[str], now: int) -> dict[str, Any]:
    """The filter that the command line names; `since` and `until` may be spans, such as 2h."""
    given: dict[str, Any] = {"metadata": {}}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError("--where must be NAME=VALUE, such as state=failed")
        name = SHORT.get(name, name)
        if name.startswith("metadata."):
            given["metadata"][name.removeprefix("metadata.")] = value
        elif name == "state" and "state" in given:
            given["state"] += f",{value}"
        elif name in given:
            raise click.UsageError(f"--where names {name} twice")
        else:
            given[name] = _instant(value, now) if name in INSTANTS else value
    return given


def _instant(text: str, now: int) -> str:
    try:
        return iso(now - 1000 * parse_span(text))
    except ValueError:
        return text


def _preview(told: dict[str, Any]) -> str:
    """The preview for people: counts, money, and what becomes of how many."""
    pays, costs, again = told["pays"], told["costs"], told["costs_again"]
    lines = [f"{told['act']}: {told['jobs']} jobs fit; {told['done']} would be acted on, {told['not_done']} not"]
    if told["act"] == Act.RETRY:
        lines.append(f"for free: {told['outcomes'].get('archiving', 0) + told['outcomes'].get('asking', 0)}")
        lines.append(f"new attempts: {told['outcomes'].get('new_attempt', 0)}, for {_money(costs)}")
        if pays["attempt_again"]:
            leave = "" if told["pay_again"] else "; left as they are without --pay-again"
            more = f"{pays['attempt_again']}, {_money(again)}{leave}"
            lines.append(f"of which an attempt may be paid for already: {more}")
    lines += [f"  {code}: {count}" for code, count in told["outcomes"].items()]
    if not told["complete"]:
        lines.append(f"more jobs fit: one act takes the latest {bulk.MOST_JOBS}")
    return printable_lines(lines)


def _money(costs: dict[str, Any]) -> str:
    more = f" and {costs['jobs_without_price']} of unknown price" if costs["jobs_without_price"] else ""
    return f"{costs['amount']} {costs['currency']}{more}"


def _done(told: dict[str, Any]) -> str:
    lines = [f"{told['act']}: {told['done']} of {told['jobs']} jobs are done; bulk act {told['bulk']}"]
    lines += [result["words"] for result in told["results"] if not result["done"]]
    return printable_lines(lines)


def printable_lines(lines: Sequence[str]) -> str:
    return "\n".join(printable(line) for line in lines)
