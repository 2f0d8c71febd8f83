"""The command line: `callsheet`. One module per group of commands; each is imported when it is asked for."""

from __future__ import annotations

import errno
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from worker.errors import CallsheetError, SettingsError, StoreError
from worker.guard.text import printable

COMMANDS = {
    "up": "deploy.local.commands:up",
    "demo": "deploy.local.commands:demo",
    "sandbox": "deploy.local.commands:sandbox",
    "submit": "worker.cli.submit:submit",
    "quote": "worker.cli.quote:quote",
    "show": "worker.cli.show:show",
    "list": "worker.cli.listing:list_jobs",
    "watch": "worker.cli.watch:watch",
    "cancel": "worker.cli.cancel:cancel",
    "retry": "worker.cli.retry:retry",
    "ask": "worker.cli.ask:ask",
    "replay": "worker.cli.replay:replay",
    "renotify": "worker.cli.renotify:renotify",
    "notify": "worker.cli.notify:notify",
    "listen": "worker.cli.listen:listen",
    "pause": "worker.cli.pausing:pause",
    "resume": "worker.cli.pausing:resume",
    "restore": "worker.cli.restore:restore",
    "models": "worker.cli.models:models",
    "costs": "worker.cli.costs:costs",
    "metrics": "worker.cli.metrics:metrics",
    "doctor": "worker.cli.doctor:doctor",
}

LOCAL_ENV = Path(".callsheet/env")
"""The file to which `callsheet up` writes the environment of the local system while it runs."""


class Usage(click.ClickException):
    """A command line that cannot be meant, in one line."""

    exit_code = 2

    def __init__(self, err: click.UsageError) -> None:
        command = err.ctx.command_path if err.ctx else "callsheet"
        super().__init__(printable(f"{err.format_message()} ({command} --help)"))


class Callsheet(click.Group):
    """Says our own errors in one line: what a user can cause never ends in a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        _open_what_is_closed()
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as err:
            raise Usage(err) from err

    def invoke(self, ctx: click.Context) -> Any:
        logging.getLogger().addHandler(logging.NullHandler())  # what a verb has to say it says itself
        try:
            return super().invoke(ctx)
        except click.UsageError as err:
            raise Usage(err) from err
        except CallsheetError as err:
            raise click.ClickException(printable(" ".join(f"{err}{_advice(err)}".split()))) from err
        except OSError as err:
            if err.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads on
            if err.filename is None:
                _give_up_output()
            raise click.ClickException(printable(f"{err.strerror or err}: {err.filename or 'output'}")) from err


def _open_what_is_closed() -> None:
    """Started without stdin, stdout or stderr (`>&-`): nothing is read and what is said goes nowhere.

    Their numbers are taken before a socket gets one of them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for the whole process


def _give_up_output() -> None:
    """Stdout cannot be written: what is still buffered would be tried again, and fail again, at the very end."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _advice(err: CallsheetError) -> str:
    """Advice for an error that does not know that it meets a person at a command line."""
    if isinstance(err, SettingsError):
        local = f"; for the local system: set -a; . {LOCAL_ENV}; set +a" if LOCAL_ENV.exists() else ""
        return f"; deploy/env.example explains each{local}"
    if isinstance(err, StoreError):
        return "; is CALLSHEET_REDIS_URL right? callsheet doctor looks at everything"
    return ""


@click.group(cls=Callsheet, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="callsheet", prog_name="callsheet")
def main() -> None:
    """Turn "make me this video" into a video in your own S3 bucket, exactly once."""
