"""`callsheet listen`: a receiver of notifications on this machine, for people who write theirs."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

import click

from worker.cli.output import emit_json
from worker.errors import CallsheetError
from worker.guard.text import printable
from worker.notifications import signature
from worker.settings import values

EXAMPLES = """\b
Examples:
  callsheet listen
  callsheet listen --status 503        to see how a notification is tried again
"""
MOST_BYTES = 1024 * 1024
PATIENCE_SECONDS = 10.0


@click.command(epilog=EXAMPLES)
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="On 127.0.0.1; 0: any.")
@click.option("--status", type=click.IntRange(200, 599), default=204, show_default=True, help="The answer to all.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@click.option(
    "--secrets",
    envvar="CALLSHEET_NOTIFY_SECRETS",
    metavar="LIST",
    help="Verify with these; default: CALLSHEET_NOTIFY_SECRETS.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each as one JSON document.")
def listen(port: int, status: int, count: int | None, secrets: str | None, as_json: bool) -> None:
    """Receive notifications on this machine, verify their signatures and print them, until Ctrl-C.

    What cannot be verified is answered with 401. Callsheet sends here when
    CALLSHEET_NOTIFY_HOSTS lists the address that is printed first.
    """
    if not secrets:
        raise CallsheetError("CALLSHEET_NOTIFY_SECRETS is not set: what comes could not be verified")
    try:
        keys = values.webhook_secrets(secrets)
    except ValueError as err:
        raise CallsheetError(f"CALLSHEET_NOTIFY_SECRETS {err}") from None
    with _Receiver(port, keys, status, as_json=as_json) as receiver:
        address = f"http://127.0.0.1:{receiver.server_port}"
        click.echo(f"listening on {address}/ (CALLSHEET_NOTIFY_HOSTS={address})", err=True)
        while count is None or receiver.seen < count:
            receiver.handle_request()


class _Receiver(HTTPServer):
    """Prints what comes, one message after the other."""

    def __init__(self, port: int, secrets: tuple[str, ...], status: int, *, as_json: bool) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.secrets = secrets
        self.status = status
        self.as_json = as_json
        self.seen = 0

    def take(self, headers: dict[str, str], content: bytes) -> int:
        """Print one message; the status that answers it."""
        self.seen += 1
        problem = signature.problem(self.secrets, headers, content)
        webhook_id = headers.get("webhook-id", "without a webhook-id")
        if self.as_json:
            emit_json({"webhook_id": webhook_id, "problem": problem, "content": content.decode("utf-8", "replace")})
        else:
            verdict = "verified" if problem is None else f"REFUSED ({problem})"
            click.echo(printable(f"{verdict}: {webhook_id}: {_shown(content)}"))
        return self.status if problem is None else 401


class _Handler(BaseHTTPRequestHandler):
    """Reads one POST of a bounded size."""

    server: _Receiver
    timeout = PATIENCE_SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self._answer(411 if not length.isdecimal() else 413)
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._answer(self.server.take(headers, self.rfile.read(int(length))))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  the library's name


def _shown(content: bytes) -> str:
    """The content on one line, as it was sent where it is no JSON."""
    try:
        return json.dumps(json.loads(content), ensure_ascii=False)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")
