"""The store: every read and write of job records, each write one atomic script.

`README.md` beside this file holds the data dictionary; `keys.py` every key;
`scripts.py` runs the files in `lua/`, each through one typed method of a part of `Store`.
"""

from __future__ import annotations

from worker.store.connect import connect
from worker.store.layout import Fields
from worker.store.replies import (
    Arrival,
    ArrivalWord,
    Claim,
    Nudge,
    Outline,
    Reply,
    ServerFacts,
    StoredEvent,
    TimelineEntry,
    Word,
)
from worker.store.store import Store

__all__ = [
    "Arrival",
    "ArrivalWord",
    "Claim",
    "Fields",
    "Nudge",
    "Outline",
    "Reply",
    "ServerFacts",
    "Store",
    "StoredEvent",
    "TimelineEntry",
    "Word",
    "connect",
]
