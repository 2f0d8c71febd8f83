"""The actor of a command: the user of this machine, with the reason given."""

from __future__ import annotations

import getpass

import click

from worker.jobs.actor import Actor

preview_option = click.option("--preview", is_flag=True, help="Say what it would do and cost; do nothing.")
reason_option = click.option("--reason", metavar="WHY", default="", help="Why, for the job's timeline.")


def actor(reason: str) -> Actor:
    """The user who runs this command; one without a name is `unknown`."""
    try:
        return Actor(getpass.getuser(), reason)
    except (KeyError, OSError):  # no entry in the passwd database, and no variable that names the user
        return Actor("unknown", reason)
