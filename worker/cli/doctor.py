"""`callsheet doctor`: whether everything a job needs is there, and what to do where it is not."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import click

from worker import providers
from worker.cli.output import emit_json
from worker.guard.text import printable
from worker.operations.doctor.examination import examine, gravest
from worker.operations.doctor.findings import Finding, Mark
from worker.operations.live_look import look
from worker.providers.base import Provider
from worker.settings.settings import Settings

BROKEN = 1
STATUS = {Mark.OK: 0, Mark.WARN: 3, Mark.FAIL: BROKEN}

EXAMPLES = """\b
Examples:
  callsheet doctor
  callsheet doctor --fix
  callsheet doctor --live gmicloud
  callsheet doctor --json | jq 'select(.mark != "ok")'
"""


@click.command(epilog=EXAMPLES)
@click.option("--fix", is_flag=True, help="Mend the due index where it does not match the open jobs.")
@click.option("--live", metavar="PROVIDER", help="Compare its cheapest read-only answers with our facts instead.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a finding a line.")
def doctor(fix: bool, live: str | None, strict: bool, as_json: bool) -> None:
    """Check configuration, processes, Redis, broker, bucket, providers and the due index.

    Each line is ok, warn or FAIL, with what to do, or done, for what was mended;
    exits with 1 on any FAIL, else with 3 on any warn. Without --fix it changes
    nothing, but for a probe object in the bucket; it never pays. With --live it
    asks one provider for balance, list and schemas, and tells what is not as we have it.
    """
    marks = set()
    for finding in look(_provider(live)) if live else examine(os.environ, fix=fix):
        marks.add(finding.mark)
        show(finding, as_json=as_json)
    sys.exit(BROKEN if strict and gravest(marks) is Mark.WARN else STATUS[gravest(marks)])


def show(finding: Finding, *, as_json: bool) -> None:
    """Print a finding, for a program or for a person."""
    if as_json:
        emit_json(asdict(finding))
    else:
        click.echo(line(finding))


def _provider(name: str) -> Provider:
    configured = providers.build(Settings.from_env(os.environ))
    if name not in configured:
        raise click.UsageError(f"there is no such provider here; there is {', '.join(configured)}")
    return configured[name]


def line(finding: Finding) -> str:
    """A finding for a person."""
    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{finding.mark:<4}  {finding.what:<13}  {finding.seen}{advice}")
