"""The system on this machine: `up` and `sandbox`. Both need the `local` extra."""

from __future__ import annotations

from pathlib import Path

import click


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
    from deploy.local.sandbox.__main__ import main

    main(list(arguments), prog_name="callsheet sandbox")
