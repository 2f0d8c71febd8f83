"""`callsheet costs`: money by day, month, provider, model and tenant."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from worker.cli.output import emit_json, table, terminal_width
from worker.guard.text import printable
from worker.operations import costs as money
from worker.services import open_store
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet costs
  callsheet costs --by month,provider --since 90d
  callsheet costs --by day,tenant --since 2026-11-01 --until 2026-11-30 --csv > november.csv
  callsheet costs --by provider --json | jq .total.spent.usd
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--by",
    default="day",
    show_default=True,
    metavar="NAMES",
    help=f"Any of {', '.join(money.BY)}, comma-separated.",
)
@click.option(
    "--since",
    default=money.DEFAULT_SINCE,
    show_default=True,
    metavar="SPAN|DAY",
    help="So many days, today included, or a UTC day.",
)
@click.option("--until", metavar="DAY", help="The last UTC day; without, today.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def costs(by: str, since: str, until: str | None, as_csv: bool, as_json: bool) -> None:
    """Tell what was spent, what is reserved, and of which money nobody knows.

    A job counts once for each of its attempts that was sent to its provider, on the UTC day that it was sent. What is
    returned cost nothing and is in no total. Sums are kept 400 days.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json: give one of them")
    settings = Settings.from_env(os.environ)
    store = open_store(settings)
    told = money.report(store, [name.strip() for name in by.split(",") if name.strip()], since, until)
    if as_csv:
        click.echo(money.csv_text(told), nl=False)
    elif as_json:
        emit_json({**told, "caps": money.caps(store, settings.caps)})
    else:
        _print(told, money.caps(store, settings.caps))


def _print(told: Mapping[str, Any], caps: Sequence[Mapping[str, Any]]) -> None:
    head = (*told["by"], "jobs", "seconds", *money.STANDINGS, "total USD")
    rows = [[*(printable(row[name]) or "-" for name in told["by"]), *_cells(row)] for row in told["rows"]]
    total = [*(["total", *[""] * (len(told["by"]) - 1)] if told["by"] else []), *_cells(told["total"])]
    click.echo(table(head, [*rows, total] if told["by"] else [total], width=terminal_width()))
    unpriced = told["total"]["total"]["unpriced"]
    if unpriced:
        click.echo(f"{unpriced} jobs have no known price and are not in these sums: set <PROVIDER>_PRICES")
    for cap in caps:
        if cap["limit"] is not None:
            whose = f" of {cap['tenant']}" if cap["tenant"] else ""
            click.echo(
                f"{cap['cap']} cap{whose}: {cap['used']} of {cap['limit']} USD, {cap['percent']} % ({cap['period']})"
            )


def _cells(row: Mapping[str, Any]) -> list[str]:
    sums = [*money.STANDINGS, money.TOTAL]
    return [str(row[money.TOTAL]["jobs"]), f"{row[money.TOTAL]['seconds']:g}", *(row[name]["usd"] for name in sums)]
