"""The index of the lists: one entry per record, in its state, the newest first, and none when the record has ended."""

from __future__ import annotations

import random

import pytest
import redis

from tests.integration.store.conftest import BRINGS, DAY, JOB, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store
from worker.store.lists import NEWEST, RANKS, Position, Sieve

S = JobState


def walked(store: Store, states: set[JobState], most: int) -> list[str]:
    """All jobs of *states* by pages of *most*."""
    found: list[str] = []
    after = NEWEST
    while page := store.lists.newest(states, after=after, most=most):
        found += [place.job_id for place in page]
        after = page[-1]
    return found


def test_every_state_has_a_rank_of_its_own() -> None:
    assert sorted(RANKS.values()) == list(range(1, 10))
    assert set(RANKS) == set(JobState)


@pytest.mark.parametrize("word", BRINGS)
def test_a_job_is_listed_in_its_state_and_in_no_other(word: str, store: Store, lives: Lives) -> None:
    BRINGS[word](lives)
    state = lives.job().state

    assert store.lists.newest({state}) == [Position(lives.job().accepted_at, JOB)]
    assert store.lists.newest(set(JobState) - {state}) == []
    assert store.lists.counts() == {**dict.fromkeys(JobState, 0), state: 1}


def test_a_new_attempt_is_listed_as_accepted_where_it_was(store: Store, lives: Lives, clock: Clock) -> None:
    job = lives.cancelled()
    clock.advance(DAY)

    assert store.attempts.try_again(JOB, attempt=1, pay_again=False).applied
    assert store.lists.newest({S.ACCEPTED}) == [Position(job.accepted_at, JOB)]
    assert store.lists.counts()[S.CANCELLED] == 0


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_pages_hold_every_job_once_newest_first_whatever_their_size(
    most: int, store: Store, lives: Lives, clock: Clock
) -> None:
    order = random.Random(most)
    for n in range(24):  # of some instants, several jobs; ids in no order
        lives.accepted(f"job-{order.randrange(10**6)}-{n}")
        clock.advance(order.choice([0, 0, 1]))
    jobs = sorted(store.records.scan(), key=lambda job: (job.accepted_at, job.id), reverse=True)
    for job in jobs[::3]:
        store.jobs.move(job.id, S.CANCELLED, attempt=1, path="operator")

    assert walked(store, set(JobState), most) == [job.id for job in jobs]
    assert walked(store, {S.CANCELLED}, most) == [job.id for job in jobs[::3]]


def test_ids_of_one_instant_are_ordered_by_their_bytes(store: Store, lives: Lives) -> None:
    for job_id in ("a", "B", "_", "-", "9", "aa", "A"):
        lives.accepted(job_id)

    assert walked(store, {S.ACCEPTED}, 2) == ["aa", "a", "_", "B", "A", "9", "-"]


def test_the_end_of_the_time_that_is_wanted_ends_the_walk(store: Store, lives: Lives, clock: Clock) -> None:
    for job_id in ("old", "middle", "new"):
        lives.accepted(job_id)
        clock.advance(1000)
    began = clock.now - 3000

    found = store.lists.newest({S.ACCEPTED}, after=Position(began + 1001, ""), since=began + 1000)

    assert [place.job_id for place in found] == ["middle"]


def test_records_are_sifted_by_their_fields(store: Store, lives: Lives) -> None:
    lives.accepted("open")
    lives.closed(lives.cancelled("closed"))
    lives.closed(lives.refused("bad"))
    every = ["bad", "nobody", "open", "closed"]

    assert store.lists.sift(every, Sieve()) == every
    assert store.lists.sift(every, Sieve(lacks=("closed_at",))) == ["open"]
    assert store.lists.sift(every, Sieve(has=("closed_at",))) == ["bad", "closed"]
    assert store.lists.sift(every, Sieve(equal=(("error_code", "refused"), ("provider", "evolink")))) == ["bad"]
    assert store.lists.sift(every, Sieve(equal=(("provider", "other"),))) == []


def test_a_job_is_listed_as_long_as_its_record_lives(
    store: Store, lives: Lives, clock: Clock, client: redis.Redis
) -> None:
    lives.closed(lives.cancelled())
    clock.advance(RETENTION)

    assert store.lists.counts()[S.CANCELLED] == 1, "the record is there: only the clock of this test is ahead"
    client.pexpire(f"callsheet:{{0}}:job:{JOB}", 1)
    while client.exists(f"callsheet:{{0}}:job:{JOB}"):
        pass
    clock.advance(RETENTION)

    assert store.lists.counts()[S.CANCELLED] == 0
    assert store.lists.newest(set(JobState)) == []
    assert client.exists("callsheet:{0}:listed", "callsheet:{0}:closed") == 0


def test_a_closed_job_that_opens_again_is_not_forgotten(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.cancelled())

    store.attempts.try_again(JOB, attempt=1, pay_again=False)

    assert client.zcard("callsheet:{0}:closed") == 0


@pytest.mark.parametrize(
    ("spoil", "breach", "mended"),
    [
        (
            lambda client: client.zrem("callsheet:{0}:listed", JOB),
            f"{JOB} is accepted but not where the lists look for it",
            f"{JOB} was not where the lists look for it: now it is",
        ),
        (
            lambda client: client.zadd("callsheet:{0}:listed", {"nobody": 10**13}),
            "nobody is listed but has no record",
            "nobody was listed without a record: its entry is removed",
        ),
        (
            lambda client: client.zadd("callsheet:{0}:listed", {"no job!": 10**13}),
            "'no job!' is due or listed but can be no job",
            "'no job!' was listed without a record: its entry is removed",
        ),
    ],
)
def test_an_index_that_was_changed_by_hand_is_seen_and_mended(
    spoil: object, breach: str, mended: str, store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.accepted()
    spoil(client)  # type: ignore[operator]

    assert store.audit.breaches() == [breach]
    assert store.audit.mend() == [mended]
    assert store.audit.breaches() == []
