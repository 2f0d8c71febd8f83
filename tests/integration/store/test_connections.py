"""Connections to Redis: a process holds no more than its setting says, and who needs one more waits for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from worker.errors import StoreError
from worker.store import Store, connect

MOST = 4
THREADS = 32
NAME = "callsheet-crowd"


def held(client: redis.Redis) -> int:
    """The connections that bear NAME."""
    listed = client.client_list()
    return sum(connection["name"] == NAME for connection in listed)


def slowly(client: redis.Redis) -> Any:
    """A command that holds its connection for a while."""
    return client.blpop(["callsheet:{0}:nothing"], timeout=0.2)


def test_a_crowd_shares_the_connections_of_its_process_and_nobody_fails(
    redis_url: str, redis_client: redis.Redis
) -> None:
    client = connect(redis_url, timeout_seconds=30, most_connections=MOST, name=NAME)

    with ThreadPoolExecutor(THREADS) as crowd:
        answers = list(crowd.map(lambda _: slowly(client), range(THREADS)))

    assert answers == [None] * THREADS
    assert held(redis_client) == MOST
    client.close()


def test_who_waits_too_long_for_a_connection_is_told_as_of_a_redis_that_is_away(redis_url: str) -> None:
    client = connect(redis_url, timeout_seconds=1, most_connections=1, name=NAME)
    store = Store(client, retention_ms=1000)
    pool = client.connection_pool
    taken = pool.get_connection()

    began = time.monotonic()
    with pytest.raises(StoreError):
        store.server.ping()

    assert time.monotonic() - began >= 1, "it waited"
    pool.release(taken)
    store.server.ping()
    client.close()
