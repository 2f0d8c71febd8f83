"""Servers that answer and take nothing: doctor and /ready find out by doing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection

from deploy.local.valkey import Valkey
from worker import probes
from worker.errors import BrokerError, ResultError, StoreError
from worker.store import Store, connect

KEY = "celery-task-meta-callsheet-probe"
FAULTS: dict[str, tuple[str, dict[str, str]]] = {
    "READONLY": ("a replica", {"replicaof": "127.0.0.1 1"}),
    "OOM": ("no memory", {"maxmemory": "1"}),
    "NOREPLICAS": ("too few replicas", {"min-replicas-to-write": "1"}),
}
USUAL = {"maxmemory": "0", "min-replicas-to-write": "0"}

Looks = dict[str, Callable[[], None]]


@pytest.fixture
def looks(redis_url: str) -> Iterator[Looks]:
    """The probes of the store, the broker and the results."""
    with connect(redis_url) as client, Connection(redis_url) as connection, redis.Redis.from_url(redis_url) as results:
        yield {
            "store": Store(client, retention_ms=1).server.try_write,
            "broker": lambda: probes.broker(connection),
            "results": lambda: probes.results(results, KEY),
        }


@pytest.fixture(params=FAULTS)
def fault(valkey: Valkey, redis_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The code with which that Redis refuses every write."""
    _, config = FAULTS[request.param]
    with redis.Redis.from_url(redis_url) as admin:
        run: Any = admin.execute_command
        for name, value in config.items():
            run("REPLICAOF", *value.split()) if name == "replicaof" else run("CONFIG", "SET", name, value)
        yield request.param
        run("REPLICAOF", "NO", "ONE")
        for name, value in USUAL.items():
            run("CONFIG", "SET", name, value)


def test_a_good_server_passes_and_is_left_as_it_was(looks: Looks, redis_client: redis.Redis) -> None:
    for look in looks.values():
        look()

    left = set(redis_client.scan_iter())
    assert left <= {"callsheet:{0}:probe", "callsheet:{0}:shards"}
    assert redis_client.pttl("callsheet:{0}:probe") > 0


@pytest.mark.parametrize(("name", "error"), [("store", StoreError), ("broker", BrokerError), ("results", ResultError)])
def test_a_redis_that_takes_no_write_is_told(looks: Looks, fault: str, name: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        looks[name]()

    assert fault in str(caught.value) or "ReadOnly" in str(caught.value) or "OutOfMemory" in str(caught.value)


def refusal(look: Callable[[], None]) -> str:
    """The words of what *look* raises; "" for nothing."""
    try:
        look()
    except (StoreError, BrokerError, ResultError) as err:
        return str(err)
    return ""


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        (["~*", "resetchannels", "+@all"], ["broker", "results"]),
        (["~callsheet:*", "&*", "+@all"], ["broker", "results"]),
        (["~*", "&*", "+@all", "-set"], ["results", "store"]),
        (["~*", "&*", "+@all", "-brpop"], ["broker"]),
    ],
    ids=" ".join,
)
def test_a_right_that_is_lacking_is_told(
    redis_url: str, redis_client: redis.Redis, rules: list[str], refused: list[str]
) -> None:
    admin: Any = redis_client
    admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">few", *rules)
    url = f"redis://few:few@{redis_url.partition('@')[2]}"
    with connect(url) as client, Connection(url) as connection, redis.Redis.from_url(url) as results:
        looks: Looks = {
            "store": Store(client, retention_ms=1).server.try_write,
            "broker": lambda: probes.broker(connection),
            "results": lambda: probes.results(results, KEY),
        }
        told = {name: refusal(look) for name, look in looks.items()}
    admin.execute_command("ACL", "DELUSER", "few")

    assert sorted(name for name, words in told.items() if words) == refused
    assert all("NOPERM" in words or "NoPermission" in words for words in told.values() if words)
