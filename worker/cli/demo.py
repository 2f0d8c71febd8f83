"""`callsheet demo`: see the whole system work. Needs the `local` extra and a checkout."""

from __future__ import annotations

from pathlib import Path

import click

EXAMPLES = """\b
Examples:
  callsheet demo
  callsheet demo --data /tmp/callsheet-demo
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Directory for all its data [.callsheet/demo]"
)
def demo(data: Path | None) -> None:
    """Run the main job on all example requests, on this machine alone; nothing is paid.

    Starts the whole system, makes nine videos at the providers' sandbox, fetches
    each back from S3, verifies it and leaves it as a file.
    """
    from deploy.local.demo.run import run

    run(data)
