"""Old and new code side by side: a newer record is left alone, an older one is read with defaults."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import redis

from tests.integration.store.conftest import JOB, MINUTE, Lives
from worker.errors import NewerRecordError, StoreError
from worker.jobs.job import SCHEMA_VERSION
from worker.jobs.states import JobState
from worker.store import Store
from worker.store.record_fields import kept_as

S = JobState
KEY = f"callsheet:{{0}}:job:{JOB}"

WRITES: dict[str, Callable[[Store, Lives], object]] = {
    "move": lambda store, _: store.move(JOB, S.GENERATED, attempt=1, path="poll"),
    "bind": lambda _, lives: lives.bound(request_id="r2"),
    "arrive": lambda _, lives: lives.called(),
    "settle": lambda store, _: store.settle(JOB, ver=1, paid="result", rest_in_ms=0),
    "accept": lambda _, lives: lives.accepted(),
    "try_again": lambda store, _: store.try_again(JOB, attempt=1, pay_again=True),
    "note": lambda store, _: store.note(JOB, waiting_for="x"),
    "get": lambda store, _: store.get(JOB),
}


@pytest.fixture
def newer(client: redis.Redis, lives: Lives) -> None:
    """A submitted job, rewritten by a Callsheet of tomorrow."""
    lives.submitted()
    client.hset(KEY, mapping={"v": str(SCHEMA_VERSION + 1), "state": "a state of tomorrow"})


@pytest.mark.parametrize("name", WRITES)
def test_a_newer_record_is_never_touched(
    name: str, client: redis.Redis, store: Store, lives: Lives, newer: None
) -> None:
    before = client.hgetall(KEY), store.due_at(JOB)

    with pytest.raises(NewerRecordError, match="leave it to the newer Callsheet"):
        WRITES[name](store, lives)

    assert (client.hgetall(KEY), store.due_at(JOB)) == before


def test_a_newer_record_is_not_claimed_and_that_is_said_once(
    store: Store, newer: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        claims = [store.claim(JOB, states=tuple(S), lease_ms=MINUTE) for _ in range(3)]

    assert claims == [None, None, None]
    assert [record.message for record in caplog.records] == ["record.newer"]


def test_the_sweep_leaves_a_newer_job_to_its_own_sweep(store: Store, lives: Lives, clock: object, newer: None) -> None:
    lives.accepted("job-2")
    store._client.zadd("callsheet:{0}:due", {JOB: 1})

    nudged = [nudge.job_id for nudge in store.nudge(store.due())]

    assert nudged == ["job-2"]
    assert store.due_at(JOB) == 1


def test_lists_leave_a_newer_job_out_and_the_audit_finds_no_fault(store: Store, lives: Lives, newer: None) -> None:
    lives.accepted("job-2")

    assert [job.id for job in store.scan()] == ["job-2"]
    assert [outline.id for outline in store.outlines()] == ["job-2"]
    assert store.audit() == []
    assert store.mend() == []


def test_the_receiver_asks_the_provider_to_come_again(store: Store, lives: Lives, newer: None) -> None:
    with pytest.raises(StoreError):  # answered 503
        lives.called()


@pytest.mark.parametrize("missing", [("v",), ("v", "intent_no", "fence", "path", "cost", "state_at")])
def test_an_older_record_is_read_with_defaults_and_goes_on(
    missing: tuple[str, ...], client: redis.Redis, store: Store, lives: Lives
) -> None:
    lives.submitted()
    client.hdel(KEY, *map(kept_as, missing))

    store.move(JOB, S.GENERATED, attempt=1, path="poll")
    reply = lives.store_archived()

    assert reply.word == "applied"
    assert lives.job().intent_no in (0, 1)


def test_fields_of_tomorrow_are_kept_by_the_code_of_today(client: redis.Redis, store: Store, lives: Lives) -> None:
    lives.submitted()
    client.hset(KEY, "a_field_of_tomorrow", "kept")

    store.move(JOB, S.GENERATED, attempt=1, path="poll")

    assert client.hget(KEY, "a_field_of_tomorrow") == "kept"
