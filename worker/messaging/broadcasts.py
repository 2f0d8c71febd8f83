"""Validate every broadcast before Celery acts on it; drop what is no plain command.

Celery would stumble over what is not of its shape, and lets a sender choose workers by a regular expression, which
can be one that never comes to an end. Which commands are obeyed, `worker/control.py` says.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.app.control import Control as CeleryControl
from kombu import pidbox

log = logging.getLogger(__name__)

ROUTE = ("exchange", "routing_key")
NAME_CHARACTERS = 255


class Node(pidbox.Node):
    """Kombu's, behind a look at every broadcast."""

    def handle_message(self, body: Any, message: Any = None) -> Any:
        if not _is_command(body) or not _has_clock(message):
            log.error("broadcast.refused")
            return None
        return super().handle_message(body, message)


class Mailbox(pidbox.Mailbox):
    """Kombu's, with our node."""

    node_cls = Node


class Control(CeleryControl):
    """Celery's, with our mailbox."""

    Mailbox = Mailbox


def _is_command(body: Any) -> bool:
    """Whether *body* is a command by name, to all or to workers by name."""
    if not isinstance(body, dict) or body.get("pattern") or body.get("matcher"):
        return False
    arguments, reply_to, destination = (body.get(name) for name in ("arguments", "reply_to", "destination"))
    return (
        _is_name(body.get("method"))
        and (body.get("ticket") is None or _is_name(body["ticket"]))
        and isinstance(arguments, dict | None)
        and isinstance(destination, list | None)
        and (not reply_to or (isinstance(reply_to, dict) and all(map(_is_name, map(reply_to.get, ROUTE)))))
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS and value.isprintable()


def _has_clock(message: Any) -> bool:
    """Whether the sender's logical time, by which ours is set, is one."""
    headers = getattr(message, "headers", None) or {}
    clock = headers.get("clock") if isinstance(headers, dict) else ""
    return clock is None or (type(clock) is int and 0 <= clock < 2**53)
