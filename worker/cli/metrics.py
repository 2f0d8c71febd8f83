"""`callsheet metrics`: what a scrape of /metrics tells."""

from __future__ import annotations

import os

import click

from worker.operations.metrics import exposition
from worker.services import open_store
from worker.settings.settings import Settings

EXAMPLES = """\b
Examples:
  callsheet metrics
  callsheet metrics | promtool check metrics
"""


@click.command(epilog=EXAMPLES)
def metrics() -> None:
    """Print the metrics in Prometheus' text format.

    All of them are read from Redis, so any process anywhere tells the same; deploy/monitoring has rules and a
    dashboard for them.
    """
    settings = Settings.from_env(os.environ)
    click.echo(exposition(settings, open_store(settings)), nl=False)
