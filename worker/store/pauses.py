"""Providers that an operator has paused."""

from __future__ import annotations

import json
from typing import Any

from worker.jobs.actor import Actor, given_by
from worker.store.scripts import Scripts, store_errors


class Pauses:
    """The pauses of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def pause(self, provider: str, by: Actor | None = None) -> int:
        """Have no POST begun at *provider* until it is resumed; since when that is so, Unix ms."""
        held = json.dumps({"since": self._scripts.clock.now(), **given_by(by)})
        with store_errors():
            self._scripts.client.hsetnx(self._keys.paused(), provider, held)
        return self.paused().get(provider, self._scripts.clock.now())

    def resume(self, provider: str) -> bool:
        """Let POSTs to *provider* begin again; whether it was paused."""
        with store_errors():
            return bool(self._scripts.client.hdel(self._keys.paused(), provider))

    def paused(self) -> dict[str, int]:
        """Every paused provider -> since when, Unix ms."""
        return {provider: held["since"] for provider, held in self.all().items()}

    def all(self) -> dict[str, dict[str, Any]]:
        """Every paused provider -> `since` (Unix ms), and `by` whom and the `reason`, where those are known."""
        return {provider: json.loads(held) for provider, held in self._scripts.hash_at(self._keys.paused()).items()}
