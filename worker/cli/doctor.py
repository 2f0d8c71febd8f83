"""`callsheet doctor`: whether everything a job needs is there, and what to do where it is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict

import click

from worker import providers
from worker.bucket.bucket import Bucket
from worker.cli.output import emit_json
from worker.errors import CallsheetError, SettingsError
from worker.guard.text import printable
from worker.operations.doctor import dependency_checks, store_checks
from worker.operations.doctor.findings import Finding, Mark, examine, fail, ok
from worker.services import open_store
from worker.settings.settings import Settings

BROKEN, WARNINGS = 1, 3

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
    for finding in findings(os.environ, fix=fix):
        marks.add(finding.mark)
        if as_json:
            emit_json(asdict(finding))
        else:
            click.echo(line(finding))
    sys.exit(status(marks, strict=strict))


def status(marks: Collection[Mark], *, strict: bool) -> int:
    """The exit status: 0 sound, 1 broken, 3 warnings, which *strict* makes 1."""
    if Mark.FAIL in marks or (strict and Mark.WARN in marks):
        return BROKEN
    return WARNINGS if Mark.WARN in marks else 0


def findings(env: Mapping[str, str], *, fix: bool = False) -> Iterator[Finding]:
    """All findings; a configuration that cannot be used leaves nothing else to look at."""
    try:
        settings = Settings.from_env(env)
        store = open_store(settings)
        bucket = Bucket.connect(settings.bucket, settings.bucket_prefix)
        adapters = providers.build(settings)
    except SettingsError as err:
        yield from (fail("configuration", problem, "see deploy/env.example") for problem in err.problems)
        return
    except CallsheetError as err:
        yield fail("configuration", str(err), "see deploy/env.example")
        return
    yield ok("configuration", f"is complete; providers: {', '.join(adapters)}; bucket {settings.bucket}")
    yield from examine(
        [*store_checks.checks(settings, store, fix=fix), *dependency_checks.checks(settings, store, bucket, adapters)]
    )


def line(finding: Finding) -> str:
    """A finding for a person."""
    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{finding.mark:<4}  {finding.what:<13}  {finding.seen}{advice}")
