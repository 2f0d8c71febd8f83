"""Figures over time: the counts of the metrics as they stood every half hour, for a day.

The counts only grow, so the difference of two looks is all that happened between them. The sweep takes a look with each
tick; one for a half hour is enough, and the first is kept.
"""

from __future__ import annotations

import json
from typing import cast

from worker.store.metrics import Metrics
from worker.store.scripts import Scripts, store_errors

SLOT_MS = 30 * 60 * 1000
KEPT = 50
"""Looks that are kept: a day, and one before it."""
KINDS = ("submit|", "callback|", "entered|", "hist|generation_duration_seconds|")
"""The counts that are looked at over time."""

Counts = dict[tuple[str, ...], int]


class Series:
    """The looks in one Redis: a hash of JSON by the beginning of their half hours, Unix ms."""

    def __init__(self, scripts: Scripts, metrics: Metrics) -> None:
        self._scripts = scripts
        self._key = scripts.keys.series()
        self._metrics = metrics

    def look(self, now: int) -> bool:
        """Keep the counts as they stand, if this half hour has no look yet; whether it was kept."""
        slot = str(now // SLOT_MS * SLOT_MS)
        with store_errors():
            if self._scripts.client.hexists(self._key, slot):
                return False
            text = json.dumps({"|".join(name): count for name, count in self.now().items()}, separators=(",", ":"))
            is_first = bool(self._scripts.client.hsetnx(self._key, slot, text))
            kept = sorted(cast("list[str]", self._scripts.client.hkeys(self._key)), key=int)
            if len(kept) > KEPT:
                self._scripts.client.hdel(self._key, *kept[: len(kept) - KEPT])
        return is_first

    def now(self) -> Counts:
        """The counts as they stand."""
        return {name: count for name, count in self._metrics.counted().items() if "|".join(name).startswith(KINDS)}

    def all(self) -> list[tuple[int, Counts]]:
        """Each look, the oldest first: when its half hour began (Unix ms), and the counts."""
        with store_errors():
            kept = cast("dict[str, str]", self._scripts.client.hgetall(self._key))
        looks = sorted((int(slot), text) for slot, text in kept.items())
        return [(slot, {tuple(name.split("|")): n for name, n in json.loads(text).items()}) for slot, text in looks]
