"""The acts of operators, the latest first, for the activity log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from worker.store.scripts import Scripts, store_errors

MOST = 1000
"""Acts that are kept."""


class Activities:
    """The acts in one Redis: a list."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._key = scripts.keys.activity()

    def add(self, entry: Mapping[str, Any]) -> None:
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=False)
            pipeline.lpush(self._key, json.dumps(entry))
            pipeline.ltrim(self._key, 0, MOST - 1)
            pipeline.execute()

    def latest(self, most: int) -> list[dict[str, Any]]:
        """The latest *most*, the newest first."""
        with store_errors():
            lines = cast("list[str]", self._scripts.client.lrange(self._key, 0, most - 1))
        return [json.loads(line) for line in lines]
