"""The Redis server itself: whether it answers and takes writes, and its account of itself."""

from __future__ import annotations

import redis

from worker.store.replies import ServerFacts
from worker.store.scripts import Scripts, store_errors

PROBE_MS = 10_000


class Server:
    """The server of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    @property
    def durability(self) -> str:
        """`always`, `waitaof` or `none`: what a power loss can undo (`Scripts.durability`)."""
        return self._scripts.durability

    def ping(self) -> None:
        """Return if Redis answers."""
        with store_errors():
            self._scripts.client.ping()

    def try_write(self) -> None:
        """Write a probe to each shard, which expires by itself; raises `StoreError` where Redis takes no write.

        A read-only replica, a Redis without memory and one without its replicas all answer a PING.
        """
        with store_errors():
            for shard in range(self._keys.shards):
                self._scripts.client.set(self._keys.probe(shard), 1, px=PROBE_MS)

    def facts(self) -> ServerFacts:
        """The facts by which `doctor` judges the server."""
        with store_errors():
            try:
                info = self._scripts.client.info()
            except redis.exceptions.NoPermissionError:  # our user may not ask (-@dangerous)
                info = {}
            try:
                held = self._scripts.client.config_get("append*")
            except redis.ResponseError:
                held = {}
        aof, limit = info.get("aof_enabled"), info.get("maxmemory")
        number = info.get("valkey_version") or info.get("redis_version")
        return ServerFacts(
            version=f"{info.get('server_name', 'redis')} {number}" if number else "a server of unknown version",
            has_aof=None if aof is None else bool(aof),
            fsync=held.get("appendfsync"),
            eviction_policy=info.get("maxmemory_policy"),
            max_memory_bytes=None if limit is None else int(limit),
            durability=self._scripts.durability,
            clients=info.get("connected_clients"),
            most_clients=info.get("maxclients"),
        )
