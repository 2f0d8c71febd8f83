"""Heartbeats: which processes of ours have lately shown that they live, by the clock of Redis."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

from worker.store.scripts import Scripts, store_errors

KEPT_MS = 24 * 60 * 60 * 1000
"""The life of the last heartbeat of a process that has ended, so that its absence can be told with its time."""


@dataclass(frozen=True)
class Heartbeat:
    """The latest sign of one process in one role. `started_at` and `at` are Unix ms by the clock of Redis."""

    kind: str  # console, web, worker, archiver, sweeper, beat; tick: a tick of beat's that reached a sweeper
    host: str
    pid: int
    version: str
    started_at: int
    at: int


class Heartbeats:
    """The heartbeats in one Redis: a hash with a field for each process and role."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._key = scripts.keys.heartbeats()

    def beat(self, kinds: Collection[str], *, host: str, pid: int, version: str, started_at: int | None = None) -> int:
        """Record that this process lives in the roles *kinds*; returns the time by Redis' clock, Unix ms.

        The first beat, without *started_at*, also removes what is older than a day.
        """
        now = self._scripts.clock.now()
        beats = [Heartbeat(kind, host, pid, version, started_at or now, now) for kind in kinds]
        old = [] if started_at else [_field(beat) for beat in self.all() if now - beat.at > KEPT_MS]
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=False)
            pipeline.hset(self._key, mapping={_field(beat): json.dumps(asdict(beat)) for beat in beats})
            if old:
                pipeline.hdel(self._key, *old)
            pipeline.execute()
        return now

    def end(self, kinds: Collection[str], *, host: str, pid: int) -> None:
        """Take this process out: it ends in order."""
        with store_errors():
            self._scripts.client.hdel(self._key, *(_name(kind, host, pid) for kind in kinds))

    def all(self) -> list[Heartbeat]:
        """Every heartbeat that is kept, the latest first."""
        with store_errors():
            kept = self._scripts.hash_at(self._key)
        return sorted((Heartbeat(**json.loads(text)) for text in kept.values()), key=lambda beat: -beat.at)


def _field(beat: Heartbeat) -> str:
    return _name(beat.kind, beat.host, beat.pid)


def _name(kind: str, host: str, pid: int) -> str:
    return f"{kind} {host} {pid}"
