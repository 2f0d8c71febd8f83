"""The commands of the system on this machine: `up`, `demo` and `sandbox`. All need the `local` extra."""

from __future__ import annotations

from pathlib import Path

import click

DEMO_EXAMPLES = """\b
Examples:
  callsheet demo
  callsheet demo --data /tmp/callsheet-demo
"""


@click.command(epilog=DEMO_EXAMPLES)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Directory for all its data [.callsheet/demo]"
)
def demo(data: Path | None) -> None:
    """Run the main job on all example requests, on this machine alone; nothing is paid.

    Starts the whole system, makes nine videos at the providers' sandbox, fetches
    each back from S3, verifies it and leaves it as a file.
    """
    from deploy.demo.run import run

    run(data)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Directory for all data [.callsheet]")
def up(data: Path | None) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    from deploy.local.up import run

    run(data)


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run the simulator of the providers alone, to test a service of yours against it."""
    from deploy.sandbox.__main__ import main

    main(list(arguments), prog_name="callsheet sandbox")
