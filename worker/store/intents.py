"""How many POSTs were begun, in Redis and in this process's memory.

Redis may come back as an older self: a failover to a replica that lagged, a
backup. Then it has lost intents, and jobs that were sent are `accepted` again.
Whoever remembers more POSTs than Redis knows says so, in the script that would
begin the next one: what was accepted before that moment is not sent any more.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping

import redis

from worker.store.keys import Keys
from worker.store.rate_limits import Admission
from worker.store.replies import Loss
from worker.store.scripts import store_errors

log = logging.getLogger(__name__)


class Intents(Admission):
    """The store with a memory of its own."""

    def __init__(self, client: redis.Redis, keys: Keys, clock: Callable[[], int] | None, retention_ms: int) -> None:
        super().__init__(client, keys, clock, retention_ms)
        self.has_recalled = False  # whether what the bucket knows is remembered, too
        self.kept_at = -math.inf  # when the bucket was last told, monotonic seconds
        self._remembered: dict[int, int] = {}
        self._memory = threading.Lock()

    def remembered(self) -> dict[int, int]:
        """Shard -> POSTs that are known to have been begun there."""
        with self._memory:
            return dict(self._remembered)

    def remember(self, counts: Mapping[int, int]) -> None:
        """Learn of POSTs begun; a count never falls."""
        with self._memory:
            for shard, count in counts.items():
                if 0 <= shard < self._keys.shards:
                    self._remembered[shard] = max(self._remembered.get(shard, 0), count)

    def compare_intents(self) -> bool:
        """Compare Redis with what is remembered, and learn from it; whether Redis has lost intents."""
        has_lost = False
        for shard in range(self._keys.shards):
            seen = self.remembered().get(shard, 0)
            count, is_lost = self._scripts.run("intents", [self._keys.intents(shard)], [self._now(), seen])
            self.remember({shard: int(count)})
            if is_lost:
                has_lost = True
                log.error("intents.lost", extra={"shard": shard, "remembered": seen})
        return has_lost

    def last_loss(self) -> Loss | None:
        """When Redis was last seen to have lost intents, and how often that was; None: never."""
        with store_errors():
            held = [self._client.hgetall(self._keys.intents(shard)) for shard in range(self._keys.shards)]
        losses = sum(int(told.get("losses", 0)) for told in held)
        return Loss(max(int(told.get("lost_at", 0)) for told in held), losses) if losses else None
