"""Old and new code side by side: a record of a layout that is not known is left alone, and that is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
import redis

from tests.integration.store.conftest import JOB, MINUTE, Lives
from worker.errors import StoreError, UnknownLayoutError
from worker.jobs.job import SCHEMA_VERSION
from worker.jobs.states import JobState
from worker.store import Store

S = JobState
KEY = f"callsheet:{{0}}:job:{JOB}"

WRITES: dict[str, Callable[[Store, Lives], object]] = {
    "move": lambda store, _: store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll"),
    "bind": lambda _, lives: lives.bound(request_id="r2"),
    "arrive": lambda _, lives: lives.called(),
    "delivered": lambda store, _: store.jobs.delivered(JOB, ver=1, outputs="result", rest_in_ms=0),
    "accept": lambda _, lives: lives.accepted(),
    "try_again": lambda store, _: store.attempts.try_again(JOB, attempt=1, pay_again=True),
    "note": lambda store, _: store.jobs.note(JOB, waiting_for="x"),
    "get": lambda store, _: store.jobs.get(JOB),
}


@pytest.fixture(params=[str(SCHEMA_VERSION + 1), "0", "01", "", "one", None])
def unknown(request: pytest.FixtureRequest, client: redis.Redis, lives: Lives) -> None:
    """A submitted job, rewritten by a Callsheet of another time."""
    lives.submitted()
    client.hset(KEY, mapping={"state": "a state of tomorrow"})
    if request.param is None:
        client.hdel(KEY, "v")
    else:
        client.hset(KEY, "v", request.param)


@pytest.mark.parametrize("name", WRITES)
def test_a_record_of_an_unknown_layout_is_never_touched(
    name: str, client: redis.Redis, store: Store, lives: Lives, unknown: None
) -> None:
    before = client.hgetall(KEY), store.due.at(JOB)

    with pytest.raises(UnknownLayoutError, match="leave it to the Callsheet that wrote it"):
        WRITES[name](store, lives)

    assert (client.hgetall(KEY), store.due.at(JOB)) == before


def test_a_record_of_an_unknown_layout_is_not_claimed_and_that_is_said_once(
    store: Store, unknown: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        claims = [store.due.claim(JOB, states=tuple(S), lease_ms=MINUTE) for _ in range(3)]

    assert claims == [None, None, None]
    assert [record.message for record in caplog.records] == ["record.unknown_layout"]


def test_the_sweep_leaves_a_job_of_an_unknown_layout_to_its_own_sweep(
    store: Store, lives: Lives, clock: object, unknown: None
) -> None:
    lives.accepted("job-2")
    store.scripts.client.zadd("callsheet:{0}:due", {JOB: 1})

    nudged = [nudge.job_id for nudge in store.due.nudge(store.due.ids())]

    assert nudged == ["job-2"]
    assert store.due.at(JOB) == 1


def test_lists_leave_a_job_of_an_unknown_layout_out_and_the_audit_finds_no_fault(
    store: Store, lives: Lives, unknown: None
) -> None:
    lives.accepted("job-2")

    assert [job.id for job in store.records.scan()] == ["job-2"]
    assert [outline.id for outline in store.records.outlines()] == ["job-2"]
    assert store.audit.breaches() == []
    assert store.audit.mend() == []


def test_the_receiver_asks_the_provider_to_come_again(store: Store, lives: Lives, unknown: None) -> None:
    with pytest.raises(StoreError):  # answered 503
        lives.called()


@pytest.mark.parametrize("missing", [("path", "cost"), ("usage", "progress", "waiting_for")])
def test_a_record_without_fields_that_few_bear_goes_on(
    missing: tuple[str, ...], client: redis.Redis, store: Store, lives: Lives
) -> None:
    lives.submitted()
    client.hdel(KEY, *missing)

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll")

    assert lives.store_archived().word == "applied"


@pytest.mark.parametrize("layout", ["0", str(SCHEMA_VERSION + 1), "", "one", None])
def test_a_tombstone_of_an_unknown_layout_is_not_read(
    layout: str | None, client: redis.Redis, store: Store, lives: Lives
) -> None:
    lives.closed(lives.cancelled())
    client.delete(KEY)
    said = {"state": "archived", "ver": "9", **({} if layout is None else {"v": layout})}
    client.set(f"callsheet:{{0}}:tombstone:{JOB}", json.dumps(said))

    with pytest.raises(UnknownLayoutError, match="leave it to the Callsheet that wrote it"):
        store.jobs.get(JOB)


def test_fields_of_tomorrow_are_kept_by_the_code_of_today(client: redis.Redis, store: Store, lives: Lives) -> None:
    lives.submitted()
    client.hset(KEY, "a_field_of_tomorrow", "kept")

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll")

    assert client.hget(KEY, "a_field_of_tomorrow") == "kept"
