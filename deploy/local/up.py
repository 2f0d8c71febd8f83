"""`callsheet up`: run the whole local system until it is stopped."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

import click

from deploy.local.datadir import DEFAULT
from deploy.local.environment import API_TOKEN, FLOWER_USER, real_providers
from deploy.local.ports import LOOPBACK
from deploy.local.signals import StopSignals
from deploy.local.stack import USUAL_PORTS, Stack


def run(directory: Path | None) -> None:
    """Start the whole system, say where everything is, and stop it in order when asked."""
    with StopSignals() as signals:
        stack = Stack(
            directory or DEFAULT,
            env=os.environ,
            tell=_say,
            usual_ports=USUAL_PORTS,
            cancelled=signals.asked,
            hurried=signals.hurried,
        )
        click.echo("starting the local system")
        try:
            with stack:
                click.echo(describe(stack))
                signals.wait()
                click.echo("stopping in order; Ctrl-C again hurries it")
        except KeyboardInterrupt:
            pass  # asked while starting: what had begun is stopped by now
        click.echo("stopped")


def _say(line: str) -> None:
    """Print *line* if anybody still reads: the system goes on without."""
    with contextlib.suppress(OSError):
        click.echo(line)


def console_link(stack: Stack) -> str:
    """The console's address; our own token stands behind the `#`, which no server and no log sees."""
    address = f"http://{LOOPBACK}:{stack.env['CALLSHEET_CONSOLE_PORT']}"
    token = stack.settings.api_tokens[0]
    return f"{address}/login#token={token.secret}" if token.name == API_TOKEN else address


def _api_token(stack: Stack) -> str:
    """Our own token, ready to be sent; a secret that somebody brought along is not shown."""
    token = stack.settings.api_tokens[0]
    return f"token {token.secret}" if token.name == API_TOKEN else "tokens: your CALLSHEET_API_TOKENS"


def describe(stack: Stack) -> str:
    """List every address and path of the system, for a person."""
    env, data = stack.env, stack.data.path
    rows = [
        ("receiver", f"https://{LOOPBACK}:{env['PORT']}", "/callbacks, /live, /ready"),
        ("API", f"http://{LOOPBACK}:{env['CALLSHEET_CONSOLE_PORT']}", _api_token(stack)),
        (
            "Flower",
            f"http://{LOOPBACK}:{env['FLOWER_PORT']}",
            f"user {FLOWER_USER}, password: flower_password in secrets",
        ),
        ("S3", env["AWS_ENDPOINT_URL_S3"], f"bucket {env['CALLSHEET_BUCKET']}"),
        ("sandbox", stack.sandbox.url, "control plane at /_control"),
        ("data", str(data), "logs in logs/, passwords in secrets.json"),
    ]
    look = f"  look at it: {console_link(stack)}"
    lines = [f"  {name:<9} {place:<32} {note}" for name, place, note in rows]
    real = [f"  {name} is NOT the sandbox: jobs there are paid" for name in real_providers(env, stack.sandbox)]
    shell = f"  for a shell: set -a; . {shlex.quote(str(stack.data.env_file))}; set +a"
    return "\n".join(["callsheet is up; Ctrl-C stops it in order", *lines, *real, look, shell])
