"""`callsheet models`: what can be asked for, and of whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from worker import providers
from worker.cli import doctor
from worker.cli.output import emit_json, table, terminal_width
from worker.operations import live_look
from worker.operations.doctor.examination import gravest
from worker.operations.models import COLUMNS, all_models, document, row
from worker.providers.base import Provider
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet models
  callsheet models evolink --json | jq '{model, prices}'
  callsheet models --check
"""


@click.command(epilog=EXAMPLES)
@click.argument("names", metavar="[PROVIDER]...", nargs=-1)
@click.option("--check", is_flag=True, help="Ask the providers that describe their models, and tell what differs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a model a line.")
def models(names: tuple[str, ...], check: bool, as_json: bool) -> None:
    """List the models of the configured providers: what each takes, its limits and its price.

    Needed fields stand between **, of those with a * one must be given. With --check nothing is changed and nothing is
    paid: one GET for each model of GMI Cloud and APIMart; exits with 3 where something differs.
    """
    asked = list(_asked(names))
    if check:
        findings = [finding for provider in asked for finding in live_look.schemas(provider)]
        for finding in findings:
            doctor.show(finding, as_json=as_json)
        sys.exit(doctor.STATUS[gravest({finding.mark for finding in findings})])
    found = list(all_models({provider.name: provider for provider in asked}))
    if as_json:
        for rules in found:
            emit_json(document(rules))
    else:
        click.echo(table(COLUMNS, [row(rules) for rules in found], width=terminal_width()))


def _asked(names: tuple[str, ...]) -> Iterator[Provider]:
    configured = providers.build(Settings.from_env(os.environ))
    for name in names or configured:
        if name not in configured:
            raise click.UsageError(f"there is no such provider here; there is {', '.join(configured)}")
        yield configured[name]
