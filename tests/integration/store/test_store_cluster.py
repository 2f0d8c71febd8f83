"""The store on a real Redis Cluster: three masters, more shards than nodes, slots that move, nodes that are lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from deploy.local.ports import LOOPBACK, free_port
from tests.conftest import WaitUntil
from tests.integration import cluster
from tests.integration.cluster import ClusterServers
from tests.integration.store.conftest import LEASE, RETENTION, Clock, Lives
from worker.errors import StoreError
from worker.jobs.states import JobState
from worker.store import Store, connect
from worker.store.counters import Counter
from worker.store.keys import Keys

S = JobState
SHARDS = 8
KEYS = Keys(SHARDS)
JOBS = [f"job-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil) -> Iterator[ClusterServers]:
    with cluster.running(tmp_path_factory.mktemp("cluster"), wait_until) as running:
        yield running


@pytest.fixture
def client(servers: ClusterServers) -> Iterator[redis.Redis]:
    """A client of the emptied cluster."""
    for node in servers.nodes:
        node.client.flushall()
    with connect(servers.url, timeout_seconds=2) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis, clock: Clock) -> Iterator[Store]:
    store = Store(client, retention_ms=RETENTION, clock=clock, monotonic=lambda: clock.now / 1000, shards=SHARDS)
    yield store
    assert store.audit.breaches() == []


def test_jobs_live_their_whole_lives_on_all_nodes(servers: ClusterServers, store: Store, lives: Lives) -> None:
    for job_id in JOBS:
        lives.submitted(job_id, f"r-{job_id}")
        lives.called(job_id, f"r-{job_id}")

    due = store.due.ids()
    nudged = store.due.nudge(due)
    moved = [store.jobs.move(job_id, S.GENERATED, attempt=1, path="callback").word for job_id in JOBS]
    urgent = list(store.perishing.most_urgent())
    closed = [lives.closed(lives._moved(lives.store_archived(job_id))) for job_id in JOBS]

    assert sorted(due) == sorted(nudge.job_id for nudge in nudged) == sorted(JOBS)
    assert set(moved) == {"applied"}
    assert len(urgent) == 16
    assert sorted(job.id for job in store.records.scan()) == sorted(job.id for job in closed) == sorted(JOBS)
    assert (
        [job.id for job in store.records.read(JOBS)] == [outline.id for outline in store.records.outlines(JOBS)] == JOBS
    )
    assert all(node.client.dbsize() > 0 for node in servers.nodes)


def test_what_is_not_about_one_job_is_kept_too(store: Store, lives: Lives) -> None:
    for job_id in JOBS:
        lives.accepted(job_id, due_in_ms=LEASE)
    store.callbacks.keep_stray({"body": "?"})
    store.durations.learn("evolink", "kling", 60.0)
    store.pauses.pause("evolink")
    store.counters.add(Counter.SPEC_CONFLICTS, 2)

    hastened, facts = store.due.hasten(JOBS), store.server.facts()

    assert (hastened, store.due.open_count(), len(store.due.open_ids())) == (len(JOBS), len(JOBS), len(JOBS))
    assert (store.callbacks.strays(), store.durations.took("evolink", "kling")) == ([{"body": "?"}], [60.0])
    assert (list(store.pauses.paused()), store.counters.all()["spec_conflicts"]) == (["evolink"], 2)
    assert (store.server.durability, facts.durability, facts.eviction_policy) == ("always", "always", "noeviction")
    assert store.audit.mend() == []


def test_one_node_that_does_not_sync_at_once_has_every_durable_write_wait(
    servers: ClusterServers, client: redis.Redis
) -> None:
    last = servers.nodes[-1].client
    found = {}
    for policy in ("everysec", "no", "always"):
        last.config_set("appendfsync", policy)
        found[policy] = Store(client, retention_ms=RETENTION, shards=SHARDS).server.durability

    assert found == {"everysec": "waitaof", "no": "none", "always": "always"}


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_job_goes_on_where_its_slot_has_moved(
    servers: ClusterServers, client: redis.Redis, store: Store, lives: Lives, policy: str
) -> None:
    servers.config_set("appendfsync", policy)
    lives.submitted()
    key = KEYS.of("job-1")[0]
    was, now = servers.owner(key), servers.move_slot_of(key)

    applied = store.jobs.move("job-1", S.GENERATED, attempt=1, path="poll").applied
    lives.closed(lives._moved(lives.store_archived()))
    durability = store.server.durability
    servers.config_set("appendfsync", "always")

    assert (applied, durability) == (True, {"always": "always", "everysec": "waitaof"}[policy])
    assert (was is now, servers.owner(key) is now, now.client.exists(key)) == (False, True, 1)
    assert lives.job().state is S.ARCHIVED


def test_a_node_that_is_lost_holds_up_its_own_jobs_until_it_is_back(
    servers: ClusterServers, store: Store, lives: Lives
) -> None:
    for job_id in JOBS:
        lives.submitted(job_id, f"r-{job_id}")
    theirs = KEYS.of(JOBS[0])[0]
    lost = servers.owner(theirs)
    spared = next(job_id for job_id in JOBS if servers.owner(KEYS.of(job_id)[0]) is not lost)

    lost.process.kill()
    with pytest.raises(StoreError):
        store.jobs.move(JOBS[0], S.GENERATED, attempt=1, path="poll")
    went_on = store.jobs.move(spared, S.GENERATED, attempt=1, path="poll").applied
    lost.process.start()
    servers.settle()
    words = {store.jobs.move(job_id, S.GENERATED, attempt=1, path="poll").word for job_id in JOBS if job_id != spared}

    assert went_on
    assert words == {"applied"}
    assert sorted(job.id for job in store.records.scan()) == sorted(JOBS)


def test_another_number_of_shards_is_refused_before_anything_is_done(client: redis.Redis, store: Store) -> None:
    Lives(store).accepted()

    for shards in (1, SHARDS + 1):
        other = Store(client, retention_ms=RETENTION, shards=shards)
        with pytest.raises(StoreError, match=f"set CALLSHEET_SHARDS={SHARDS}"):
            other.jobs.get("job-1")
        with pytest.raises(StoreError, match=f"set CALLSHEET_SHARDS={SHARDS}"):
            Lives(other).accepted("job-2")


def test_a_cluster_that_is_not_there_is_a_store_error() -> None:
    with connect(f"cluster://{LOOPBACK}:{free_port()},{LOOPBACK}:{free_port()}", timeout_seconds=0.5) as client:
        store = Store(client, retention_ms=RETENTION, shards=SHARDS)

        with pytest.raises(StoreError):
            store.server.ping()


def test_one_node_of_those_named_is_enough(servers: ClusterServers, client: redis.Redis, store: Store) -> None:
    Lives(store).accepted()
    gone = f"{LOOPBACK}:{free_port()}"

    with connect(f"cluster://:{servers.password}@{gone},{LOOPBACK}:{servers.nodes[1].port}") as other:
        found = Store(other, retention_ms=RETENTION, shards=SHARDS).jobs.get("job-1")

    assert found is not None
