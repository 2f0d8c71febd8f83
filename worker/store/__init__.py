"""The store: every read and write of job records, each write one atomic script.

`README.md` beside this file holds the data dictionary; `keys.py` every key;
`scripts.py` runs the files in `lua/`, each through one typed method of a part of `Store`.
"""

from __future__ import annotations

from worker.store.connect import connect
from worker.store.replies import Arrival, Claim, Nudge, Outline, Reply, ServerFacts, StoredEvent, TimelineEntry
from worker.store.store import Store

__all__ = [
    "Arrival",
    "Claim",
    "Nudge",
    "Outline",
    "Reply",
    "ServerFacts",
    "Store",
    "StoredEvent",
    "TimelineEntry",
    "connect",
]
