"""The actor of an operator's act: who did it, and why, as timeline and pauses keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.guard.text import printable

NAME_CHARACTERS, REASON_CHARACTERS = 64, 200


@dataclass(frozen=True)
class Actor:
    """One who acts: an operator at the command line, or a token of the HTTP API. *name* and *reason* are any text."""

    name: str
    reason: str = ""


def given_by(actor: Actor | None) -> dict[str, str]:
    """*actor* as the scripts take it: `by`, a word without spaces, and the `reason`, a line, where there is one."""
    if actor is None:
        return {}
    name = re.sub(r"[^A-Za-z0-9_.@-]", "_", actor.name)[:NAME_CHARACTERS] or "unknown"
    reason = printable(" ".join(actor.reason.split()))[:REASON_CHARACTERS]
    return {"by": name, **({"reason": reason} if reason else {})}
