"""The scripts: every file has its wrapper, fails before its first write, and survives what Redis does."""

from __future__ import annotations

import socket
from importlib.resources import files

import pytest
import redis

from tests.integration.store.conftest import JOB, LEASE, RETENTION, Lives
from worker.errors import StoreError
from worker.jobs.job import Link
from worker.jobs.states import JobState
from worker.store import Store, connect
from worker.store.keys import Keys
from worker.store.scripts import SCRIPTS

S = JobState
KINDS = ("job", "due", "candidates", "events", "history", "links", "tombstone")


def test_wrappers_and_files_are_the_same_set() -> None:
    folder = files("worker.store").joinpath("lua")
    found = {entry.name.removesuffix(".lua") for entry in folder.iterdir() if entry.name.endswith(".lua")}

    parts = {part for parts in SCRIPTS.values() for part in parts}

    assert found == set(SCRIPTS) | parts


def test_every_script_begins_with_its_contract() -> None:
    folder = files("worker.store").joinpath("lua")

    for name in SCRIPTS:
        head = folder.joinpath(f"{name}.lua").read_text().split("\n\n")[0]
        assert head.startswith("-- ")
        assert "-- Returns" in head, name


def test_scripts_name_no_state() -> None:
    folder = files("worker.store").joinpath("lua")
    code = "\n".join(
        line
        for entry in folder.iterdir()
        for line in entry.read_text().splitlines()
        if not line.lstrip().startswith("--")
    )

    assert [state for state in S if f'"{state}"' in code or f"{state}(" in code] == []


def test_a_flushed_script_cache_is_no_error(lives: Lives, client: redis.Redis) -> None:
    lives.accepted()

    client.script_flush()

    assert lives.claimed().job.id == JOB


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_a_wrong_type_fails_the_script_before_its_first_write(
    store: Store, lives: Lives, client: redis.Redis, kind: str
) -> None:
    lives.submitted()
    key = Keys().of(JOB)[KINDS.index(kind)]
    client.delete(key)
    client.sadd(key, "foreign")
    before = _dump(client)

    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", links=(Link("https://cdn.example/1.mp4"),))

    assert _dump(client) == before
    client.flushall()


def test_a_field_that_is_no_number_fails_the_script_before_its_first_write(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.submitted()
    client.hset(f"callsheet:{{0}}:job:{JOB}", "ver", "many")
    before = _dump(client)

    with pytest.raises(StoreError, match="ver is no number"):
        store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", facts={"usage": "{}"})

    assert _dump(client) == before
    client.flushall()


def test_a_redis_without_memory_refuses_a_write_whole(lives: Lives, client: redis.Redis) -> None:
    lives.submitted()
    before = _dump(client)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreError, match="maxmemory"):
            lives.called()
        with pytest.raises(StoreError, match="maxmemory"):
            lives.accepted("another")
    finally:
        client.config_set("maxmemory", 0)

    assert _dump(client) == before


def test_a_redis_that_is_not_there_is_a_store_error() -> None:
    with connect(f"redis://127.0.0.1:{_unused_port()}/0", timeout_seconds=0.5) as client:
        store = Store(client, retention_ms=RETENTION)

        with pytest.raises(StoreError):
            store.due.claim(JOB, states=(S.ACCEPTED,), lease_ms=LEASE)
        with pytest.raises(StoreError):
            store.server.ping()


def test_a_url_that_redis_does_not_know_is_refused_in_words() -> None:
    with pytest.raises(StoreError, match="CALLSHEET_REDIS_URL"):
        connect("memcached://127.0.0.1/0")


@pytest.mark.parametrize("job_id", ["", "a b", "{0}", "a:b", "x" * 65, "é"])
def test_only_a_job_id_becomes_part_of_a_key(store: Store, job_id: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        store.jobs.get(job_id)


def test_a_store_of_many_shards_works_like_one(client: redis.Redis) -> None:
    store = Store(client, retention_ms=RETENTION, shards=7)
    lives = Lives(store)
    ids = [f"job-{n}" for n in range(30)]

    for job_id in ids:
        lives.submitted(job_id, f"r-{job_id}", due_in_ms=0)
    lives.called(ids[0], f"r-{ids[0]}")

    assert sorted(store.due.ids(100)) == sorted(ids)
    assert len(store.due.ids(4)) == 4
    assert sorted(nudge.job_id for nudge in store.due.nudge(ids)) == sorted(ids)
    assert store.due.open_count() == 30
    assert {job.id for job in store.records.scan()} == set(ids)
    assert len(list(client.scan_iter("callsheet:*:due"))) > 1
    assert store.audit.breaches() == []


def test_records_that_are_older_than_the_number_of_shards_are_not_left_behind(
    client: redis.Redis, store: Store, lives: Lives
) -> None:
    lives.submitted()
    client.delete(Keys().shard_count())

    with pytest.raises(StoreError, match="set CALLSHEET_SHARDS=1"):
        Store(client, retention_ms=RETENTION, shards=7).jobs.get(JOB)

    assert Store(client, retention_ms=RETENTION).jobs.get(JOB) is not None


def test_without_a_clock_the_servers_time_counts(client: redis.Redis) -> None:
    store = Store(client, retention_ms=RETENTION)
    lives = Lives(store)
    seconds, _ = client.time()

    lives.accepted()

    assert abs(lives.job().accepted_at - 1000 * seconds) < 60_000
    assert store.due.ids(10) == [JOB]
    assert store.due.nudge([JOB])
    assert lives.claimed().now >= lives.job().accepted_at


def _dump(client: redis.Redis) -> dict[object, object]:
    """Everything in the server, as its own type and content tell it."""
    readers = {"hash": client.hgetall, "string": client.get, "set": client.smembers}
    found: dict[object, object] = {}
    for key in client.scan_iter("callsheet:*"):
        kind = client.type(key)
        if kind == "list":
            found[key] = client.lrange(key, 0, -1)
        elif kind == "zset":
            found[key] = client.zrange(key, 0, -1, withscores=True)
        else:
            found[key] = readers[str(kind)](str(key))
    return found


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
