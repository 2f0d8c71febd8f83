"""Durability: nothing is told before it would survive a power loss, where the server can promise that at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.integration.store.conftest import JOB, LEASE, RETENTION, Lives
from worker.errors import NotDurableError
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.store import Claim, Store, connect, scripts

S = JobState
SetFsync = Callable[[str], object]


WRITES: dict[str, Callable[[Lives, Claim, Job], object]] = {
    "accept": lambda lives, claim, job: lives.accepted("new"),
    "begin": lambda lives, claim, job: lives.store.attempts.begin(claim),
    "move": lambda lives, claim, job: lives.store_archived(),
    "bind": lambda lives, claim, job: lives.bound(claim.job.id, "r2"),
    "arrive": lambda lives, claim, job: lives.called(claim.job.id, "r2"),
    "delivered": lambda lives, claim, job: lives.told(job),
}


@pytest.fixture
def fsync(client: redis.Redis) -> Iterator[SetFsync]:
    """Changes the server's `appendfsync` for one test."""
    yield lambda policy: client.config_set("appendfsync", policy)
    client.config_set("appendfsync", "always")


@pytest.fixture
def patient(redis_url: str, fsync: SetFsync, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that waits for the disk, on a server that no longer ever syncs: every wait fails, soon.

    Its socket has far more patience: on a busy machine the server's own answer may be late.
    """
    monkeypatch.setattr(scripts, "SYNC_MS", 200)
    with connect(redis_url) as client:
        store = Store(client, retention_ms=RETENTION)
        fsync("everysec")
        assert store.server.durability == "waitaof"
        store.server.ping()
        fsync("no")
        yield store


def test_the_servers_policy_decides_what_is_promised(client: redis.Redis, fsync: SetFsync) -> None:
    found = {}
    for policy in ("always", "everysec", "no"):
        fsync(policy)
        found[policy] = Store(client, retention_ms=RETENTION).server.durability

    assert found == {"always": "always", "everysec": "waitaof", "no": "none"}


def test_a_server_without_an_aof_promises_nothing_and_that_is_said_once(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.config_set("appendonly", "no")
    try:
        store = Store(client, retention_ms=RETENTION)
        assert store.server.durability == "none"
        assert store.server.durability == "none"
        assert [record.message for record in caplog.records] == ["store.not_durable"]
        assert Lives(store).accepted().applied
    finally:
        client.config_set("appendonly", "yes")


def test_a_write_is_told_once_it_is_on_disk(client: redis.Redis, fsync: SetFsync) -> None:
    fsync("everysec")
    lives = Lives(Store(client, retention_ms=RETENTION))

    lives.submitted()
    lives.called()
    lives.store.jobs.move(JOB, S.GENERATED, attempt=1, path="callback")

    assert not lives.closed(lives._moved(lives.store_archived())).is_open


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_does_not_reach_the_disk_is_not_told(patient: Store, client: redis.Redis, write: str) -> None:
    careless = Lives(Store(client, retention_ms=RETENTION))
    careless.generated()
    cancelled = careless.cancelled("cancelled")
    accepted = careless.accepted("accepted")
    assert accepted.applied
    claim = careless.claimed("accepted")

    with pytest.raises(NotDurableError, match="do not act on it"):
        WRITES[write](Lives(patient), claim, cancelled)


def test_a_repeat_of_a_write_that_is_not_on_disk_is_not_told_either(patient: Store, client: redis.Redis) -> None:
    """Two deliveries at once: the second writes nothing, and must not be acknowledged on the strength of the first."""
    Lives(Store(client, retention_ms=RETENTION)).generated()

    with pytest.raises(NotDurableError):
        Lives(patient).accepted()
    with pytest.raises(NotDurableError):
        Lives(patient).called()


def test_a_final_state_is_not_handed_out_to_be_told_before_it_is_on_disk(patient: Store, client: redis.Redis) -> None:
    Lives(Store(client, retention_ms=RETENTION)).cancelled()

    with pytest.raises(NotDurableError):
        patient.due.claim(JOB, states=(S.CANCELLED,), lease_ms=LEASE)


def test_claims_of_open_states_and_rests_do_not_wait(patient: Store, client: redis.Redis) -> None:
    Lives(Store(client, retention_ms=RETENTION)).submitted()

    claim = patient.due.claim(JOB, states=(S.SUBMITTED,), lease_ms=LEASE)

    assert claim is not None
    assert patient.due.rest(claim, due_in_ms=0).applied


def test_a_script_that_the_server_forgot_is_loaded_in_a_durable_run_too(client: redis.Redis, fsync: SetFsync) -> None:
    fsync("everysec")
    lives = Lives(Store(client, retention_ms=RETENTION))
    lives.accepted()

    client.script_flush()

    assert lives.accepted().word == "repeat"
