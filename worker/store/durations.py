"""The time that the latest generations of each model took, for the first poll of the next."""

from __future__ import annotations

from typing import cast

from worker.store.scripts import Scripts, store_errors

MAX_TOOK = 64


class Durations:
    """The durations that one store has learned."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def learn(self, provider: str, model: str, seconds: float, kind: str = "") -> None:
        """Keep how long a generation of *kind* took; the latest 64 of a model are kept."""
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=False)
            pipeline.lpush(self._keys.took(provider, model), f"{seconds:.1f} {kind}".rstrip())
            pipeline.ltrim(self._keys.took(provider, model), 0, MAX_TOOK - 1)
            pipeline.execute()

    def took(self, provider: str, model: str) -> list[float]:
        """The seconds of the model's latest generations, as `learn` kept them."""
        return [seconds for seconds, _ in self.history(provider, model)]

    def history(self, provider: str, model: str) -> list[tuple[float, str]]:
        """The same, each with its kind (`Job.kind`; empty: not known)."""
        with store_errors():
            lines = cast("list[str]", self._scripts.client.lrange(self._keys.took(provider, model), 0, -1))
        parts = (line.partition(" ") for line in lines)
        return [(float(seconds), kind) for seconds, _, kind in parts]
