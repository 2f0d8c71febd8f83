"""`callsheet doctor`: whether everything a job needs is there, and what to do where it is not."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import click

from worker.cli.output import emit_json
from worker.guard.text import printable
from worker.operations.doctor.examination import examine, gravest
from worker.operations.doctor.findings import Finding, Mark

BROKEN = 1
STATUS = {Mark.OK: 0, Mark.WARN: 3, Mark.FAIL: BROKEN}

EXAMPLES = """\b
Examples:
  callsheet doctor
  callsheet doctor --fix
  callsheet doctor --json | jq 'select(.mark != "ok")'
"""


@click.command(epilog=EXAMPLES)
@click.option("--fix", is_flag=True, help="Mend the due index where it does not match the open jobs.")
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a finding a line.")
def doctor(fix: bool, strict: bool, as_json: bool) -> None:
    """Check configuration, processes, Redis, broker, bucket, providers and the due index.

    Each line is ok, warn or FAIL, with what to do, or done, for what was mended;
    exits with 1 on any FAIL, else with 3 on any warn. Without --fix it changes
    nothing, but for a probe object in the bucket; it never pays.
    """
    marks = set()
    for finding in examine(os.environ, fix=fix):
        marks.add(finding.mark)
        if as_json:
            emit_json(asdict(finding))
        else:
            click.echo(line(finding))
    sys.exit(BROKEN if strict and gravest(marks) is Mark.WARN else STATUS[gravest(marks)])


def line(finding: Finding) -> str:
    """A finding for a person."""
    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{finding.mark:<4}  {finding.what:<13}  {finding.seen}{advice}")
