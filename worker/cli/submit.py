"""`callsheet submit`: record a job, and on request wait for its video."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import click

from worker.cli.output import emit_json
from worker.cli.spec_options import given_spec, spec_options
from worker.guard.text import printable

EXAMPLES = """\b
Examples:
  callsheet submit --model kling-3.0-turbo --prompt "A corgi on the beach" --wait
  callsheet submit --model kling-3.0-turbo-i2v --first-frame https://example.com/start.jpg
  callsheet submit --model kling-3.0-turbo --duration 5 \\
      --shot "2:a door opens" --shot "3:rain on the window"
  callsheet submit --id order-1007 --metadata order=1007 --spec spec.json --wait --timeout 900
  callsheet submit --file specs.jsonl
  echo '{"model": "kling-3.0-turbo", "prompt": "A corgi"}' | callsheet submit --spec - --json
"""


@click.command(epilog=EXAMPLES)
@spec_options
@click.option("--spec", "document", type=click.File("rb"), metavar="FILE", help="The whole spec as JSON; - for stdin.")
@click.option("--file", type=click.File("rb"), metavar="FILE", help="Many specs, one JSON object a line; - for stdin.")
@click.option("--id", "job_id", metavar="ID", help="The job's id: 1 to 64 of A-Z, a-z, 0-9, _ and - [a new one]")
@click.option("--wait", is_flag=True, help="Show progress until the job is final; succeed only if it is archived.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Wait no longer.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")
def submit(
    document: BinaryIO | None,
    file: BinaryIO | None,
    job_id: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Record a job and have it started; print its id once it cannot be lost.

    The same id with the same spec is the same job: sending it again is safe and
    never pays twice. The lines of --file may name their `job_id`; else it is
    made of the line's content, so that the same file goes on after any end.
    Exits with 3 when a line was refused.
    """
    if file is not None:
        if document or job_id or wait or any(options.values()):
            raise click.UsageError("--file gives whole specs: leave out all else but --json")
        _submit_lines(file, as_json=as_json)
        return
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    if job_id == "":
        raise click.UsageError("--id must not be empty: leave it out for a new one")
    spec = given_spec(document, options)

    from worker.client import enqueue
    from worker.services import Services
    from worker.settings.settings import Settings

    services = Services.from_settings(Settings.from_env(os.environ))
    job_id = str(enqueue(spec, job_id, services=services).id)
    if as_json:
        emit_json({"job_id": job_id})
    else:
        click.echo(printable(job_id))
    if wait:
        from worker.cli.waiting import wait_for

        wait_for(job_id, services.store, timeout_seconds=timeout, as_json=as_json)


def _submit_lines(file: BinaryIO, *, as_json: bool) -> None:
    from worker.cli.submit_file import submit_lines
    from worker.services import Services
    from worker.settings.settings import Settings

    submit_lines(file, Services.from_settings(Settings.from_env(os.environ)), as_json=as_json)
