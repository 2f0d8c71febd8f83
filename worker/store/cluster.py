"""A Redis Cluster as the store meets it: one client for all nodes, set up when it is first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self, cast

import redis
from redis import cluster
from redis.connection import parse_url
from redis.exceptions import MovedError, RedisClusterException

from worker.settings.redis_urls import node_urls

PORT = 6379


class Cluster:
    """redis-py's `RedisCluster`, except that nothing connects before it is used."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._urls = node_urls(url)
        self._options = {name: value for name, value in options.items() if name != "health_check_interval"}

    @cached_property
    def _client(self) -> Any:  # redis-py types little of it
        kind: Any = cluster
        first, *others = self._urls
        parts = [parse_url(url) for url in others]  # type: ignore[no-untyped-call]
        nodes = [kind.ClusterNode(part["host"], part.get("port", PORT)) for part in parts]
        try:
            return kind.RedisCluster(startup_nodes=nodes, url=first, **self._options)
        except RedisClusterException as err:  # which is no `RedisError`
            raise redis.ConnectionError(str(err)) from err

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if "_client" in vars(self):
            self._client.close()


def masters(client: redis.Redis | Cluster) -> list[redis.Redis]:
    """The servers that *client* writes to, each by itself."""
    if isinstance(client, Cluster):
        return [node.redis_connection for node in client.get_primaries()]
    return [client]


def master_of(client: redis.Redis | Cluster, key: str) -> redis.Redis:
    """The server that *client* writes *key* to."""
    if isinstance(client, Cluster):
        return cast("redis.Redis", client.get_node_from_key(key).redis_connection)
    return client


def learn(client: redis.Redis | Cluster, moved: MovedError) -> None:
    """Have *client* know where a slot is now."""
    if isinstance(client, Cluster):
        client.nodes_manager.move_slot(moved)
