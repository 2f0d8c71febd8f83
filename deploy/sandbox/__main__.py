"""`python -m deploy.sandbox`, also known as `callsheet sandbox`."""

from __future__ import annotations

import signal
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.sandbox.sandbox import PROVIDERS, Options
from deploy.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from deploy.local.tls import LocalTls

OWN_TLS = Path(".callsheet", "sandbox-tls")


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8443, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--cert", type=click.Path(exists=True, dir_okay=False), help="Certificate chain, PEM.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), help="Private key of the certificate, PEM.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False),
    help="CA trusted for callbacks, beside the system's roots.",
)
@click.option(
    "--seconds",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0),
    help="How long a generation takes.",
)
@click.option("--allow-loopback-callbacks", is_flag=True, help="Take callback URLs on this machine.")
@click.option("--api-key", "api_keys", multiple=True, help="The only keys taken (repeatable). Default: any key.")
@click.option("--control-token", help="Bearer token that /_control asks for. Default: none.")
def main(
    host: str,
    port: int,
    cert: str | None,
    key: str | None,
    ca_file: str | None,
    seconds: float,
    allow_loopback_callbacks: bool,
    api_keys: tuple[str, ...],
    control_token: str | None,
) -> None:
    """Run the video providers on this machine, as they speak, over HTTPS.

    They are GMI Cloud, EvoLink, APIMart, Kling, fal and Replicate.

    Nothing is generated and nothing is paid for; the videos are real MP4 files of one colour per second.
    Without --cert and --key the sandbox makes a local CA and says where its certificate lies.
    """
    if bool(cert) != bool(key):
        raise click.UsageError("--cert and --key come together")
    clients_ca_file = ca_file
    if not cert or not key:
        made = _local_certificate()
        cert, key, clients_ca_file = str(made.cert_file), str(made.key_file), str(made.ca_file)
    options = Options(
        generation_seconds=seconds,
        api_keys=frozenset(api_keys),
        allow_loopback_callbacks=allow_loopback_callbacks,
        ca_file=ca_file or clients_ca_file,
        control_token=control_token,
    )
    try:
        server = SandboxServer(options, cert_file=cert, key_file=key, host=host, port=port)
    except ssl.SSLError as err:
        raise click.ClickException(f"the certificate, key or CA file cannot be used: {err}") from err
    except OSError as err:
        raise click.ClickException(f"cannot listen on {host}:{port}: {err.strerror or err}") from err
    _run(server, clients_ca_file)


def _local_certificate() -> LocalTls:
    from deploy.local.tls import LocalTls  # needs the `local` extra; a certificate of yours does without

    return LocalTls(OWN_TLS).ensure()


def _run(server: SandboxServer, ca_file: str | None) -> None:
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_stop.set())
    with server:
        click.echo(f"sandbox ready on {server.url}")
        for name in PROVIDERS:
            click.echo(f"  {name:9} {server.base_url(name)}")
        click.echo(f"  control   {server.url}/_control")
        if ca_file:
            click.echo(f"  CA file   {Path(ca_file).resolve()}")
        asked_to_stop.wait()


if __name__ == "__main__":
    main()
