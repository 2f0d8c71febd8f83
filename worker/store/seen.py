"""Marks of operators on the troubles that they have looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from worker.store.scripts import Scripts, store_errors

MOST = 2000
"""Marks that are kept; the oldest give way."""


class Seen:
    """The marks in one Redis: a hash with a field for each item."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._key = scripts.keys.seen()

    def mark(self, marks: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep each item's mark, over an earlier one."""
        with store_errors():
            self._scripts.client.hset(self._key, mapping={item: json.dumps(mark) for item, mark in marks.items()})
        self._forget_the_oldest()

    def all(self) -> dict[str, dict[str, Any]]:
        """Every mark by its item."""
        with store_errors():
            kept = cast("dict[str, str]", self._scripts.client.hgetall(self._key))
        return {item: json.loads(text) for item, text in kept.items()}

    def _forget_the_oldest(self) -> None:
        kept = self.all()
        if len(kept) > MOST:
            oldest = sorted(kept, key=lambda item: int(kept[item].get("at", 0)))[: len(kept) - MOST]
            with store_errors():
                self._scripts.client.hdel(self._key, *oldest)
