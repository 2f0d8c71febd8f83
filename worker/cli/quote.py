"""`callsheet quote`: who would make a spec, at what cost and until when; nothing is ordered."""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

import click

from worker.cli.output import emit_json, fields
from worker.cli.spec_options import given_spec, spec_options
from worker.operations.outcome import BASIS
from worker.operations.quote import quote as operation
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings

REFUSED = 3
EXAMPLES = """\b
Examples:
  callsheet quote --model kling-3.0-turbo --prompt "A corgi on the beach" --duration 5
  callsheet quote --spec spec.json --json
"""


@click.command(epilog=EXAMPLES)
@spec_options
@click.option("--spec", "document", type=click.File("rb"), metavar="FILE", help="The whole spec as JSON; - for stdin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def quote(document: BinaryIO | None, as_json: bool, **options: Any) -> None:
    """Name the provider, the model, the cost and the time of a spec, as if it were ordered now.

    Exits with 3 when it would be refused, and says why.
    """
    spec = given_spec(document, options)
    services = Services.from_settings(Settings.from_env(os.environ))
    told = operation(spec, Reader.of(services), services)
    if as_json:
        emit_json(told)
    else:
        click.echo(fields(_rows(told)))
    sys.exit(REFUSED if told["problems"] else 0)


def _rows(told: dict[str, Any]) -> list[tuple[str, str]]:
    cost, estimate = told["cost"], told["eta"]
    rows = [("provider", told["provider"] or "none"), ("model", told["model"] or "none")]
    if told["provider"]:
        price = f"{cost['amount']} {cost['currency']} {BASIS.get(cost['basis'], '')}" if cost else "not known here"
        rows += [("cost", price), ("waits for", told["waits_for"])]
        ready = f"{estimate['p50_at']}; nine in ten by {estimate['p90_at']}" if estimate else "not known yet"
        rows.append(("ready", ready))
    rows += [("refused" if n == 0 else "", problem) for n, problem in enumerate(told["problems"])]
    return rows
