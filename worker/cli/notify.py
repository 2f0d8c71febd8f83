"""`callsheet notify --test`: try a receiver of notifications."""

from __future__ import annotations

import os

import click

from worker.cli.verdict import give
from worker.notifications.delivery import Notifications
from worker.operations import renotify as operation
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet notify --test https://backend.example.com/callsheet
"""


@click.command(epilog=EXAMPLES)
@click.option("--test", "url", metavar="URL", required=True, help="Where to send a test message.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def notify(url: str, as_json: bool) -> None:
    """Send a signed message of the type callsheet.test to URL, as a notification would be sent.

    The same rules hold for where it may go (CALLSHEET_NOTIFY_HOSTS). Exits
    with 3 when it is not taken.
    """
    notifications = Notifications.from_settings(Settings.from_env(os.environ))
    give(operation.send_test(url, notifications), as_json=as_json)
