"""The words with which APIs of this trade say how a request stands: tried after the vendor's own (`Adapter.kinds`).

Seen in the vendors' own pages and clients beside the words that they document, and at other video APIs and relays:
Kling, fal, Replicate, BytePlus, MiniMax, Runway, WaveSpeed, Kie, DashScope, new-api.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.providers.base import EventKind

NAMES = ("status", "state", "task_status", "taskStatus")
"""The places of a record's status, best first."""

_WORDS = {
    EventKind.PENDING: """accepted created dispatched dreaming generating in_progress in_queue initializing pending
        preparing processing queued queueing queuing rendering running scheduled starting started submitted submitting
        throttled waiting""",
    EventKind.GENERATED: "complete completed done finished generated ready succeed succeeded success successful",
    EventKind.FAILED: """aborted blocked canceled cancelled denied error errored expired fail failed failure moderated
        rejected terminated time_out timed_out timedout timeout""",
}
SYNONYMS = {word: kind for kind, words in _WORDS.items() for word in words.split()}

CANCELLED = frozenset({"aborted", "canceled", "cancelled", "terminated"})
TIMED_OUT = frozenset({"expired", "time_out", "timed_out", "timedout", "timeout"})
MODERATED = frozenset({"blocked", "moderated"})


def plain(word: str) -> str:
    """*word* as the tables have it: `TASK_STATUS_SUCCEED` and `In Progress` are `succeed` and `in_progress`."""
    return re.sub(r"[\s-]+", "_", word.strip().lower()).removeprefix("task_status_").removeprefix("status_")


def kind_of(word: str, own: Mapping[str, EventKind]) -> EventKind:
    """The meaning of a status: the vendor's own words first; a word that stands in no table is `UNKNOWN`."""
    return own.get(word.strip().lower()) or own.get(plain(word)) or SYNONYMS.get(plain(word), EventKind.UNKNOWN)
