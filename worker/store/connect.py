"""Connections to the store's Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.errors import StoreError
from worker.settings.redis_urls import SENTINEL_SECONDS, Sentinels, is_by_sentinel, is_cluster
from worker.settings.values import MOST_CONNECTIONS
from worker.store.cluster import Cluster

NAME = "callsheet"


def connect(
    url: str, *, timeout_seconds: float = 5.0, most_connections: int = MOST_CONNECTIONS, name: str = NAME
) -> redis.Redis:
    """A client for *url* whose connections bear *name* in Redis' CLIENT LIST; nothing connects before it is used.

    Whoever asks while *most_connections* are in use waits for one, for *timeout_seconds* at most; behind Sentinel and
    in a cluster, where redis-py can bound them only by raising, they are not bounded.

    It never repeats a command by itself: redis-py would do so ten times after a
    time-out, holding its caller far longer than *timeout_seconds*, and the caller
    is the one who knows what a repeat means.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        # a provider's text may hold what UTF-8 cannot: it is kept readable, never a crash
        "encoding_errors": "backslashreplace",
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "client_name": name,
    }
    try:
        if is_cluster(url):
            return cast("redis.Redis", Cluster(url, options))
        if is_by_sentinel(url):
            return _by_sentinel(url, options)
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=most_connections, timeout=timeout_seconds, **options
        )
        return redis.Redis.from_pool(pool)
    except ValueError as err:
        known = "redis://, rediss://, sentinel:// or cluster://"
        raise StoreError(f"CALLSHEET_REDIS_URL is no URL of a Redis: use {known}") from err


def _by_sentinel(url: str, options: Mapping[str, Any]) -> redis.Redis:
    """A client of whatever is the master when it connects."""
    named = Sentinels.of(url)
    seconds = min(SENTINEL_SECONDS, options["socket_timeout"])
    asking = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": options["retry"]}
    sentinel = Sentinel(named.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    found: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        named.master,
        db=named.database,
        username=named.user or None,
        password=named.password or None,
        **options,
    )
    return found
