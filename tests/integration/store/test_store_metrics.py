"""The figures behind the metrics: counted where the job moves, once, and never worth a failure."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import redis

from tests.integration.store.conftest import BRINGS, DAY, GENERATION_FAILED, JOB, MINUTE, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store
from worker.store.counters import Counter
from worker.store.metrics import OLDEST, Histogram, Outcome

S = JobState


def counted(store: Store, kind: str) -> Mapping[tuple[str, ...], int]:
    """The counts of one kind, by the parts that follow it."""
    return {parts[1:]: count for parts, count in store.metrics.read().counted.items() if parts[0] == kind}


def test_each_move_is_counted_by_where_from_where_to_and_why(store: Store, lives: Lives) -> None:
    lives.archived()
    lives.refused("job-2")

    assert counted(store, "move") == {
        ("", "accepted", "submit"): 2,
        ("accepted", "submitting", "submit"): 2,
        ("submitting", "submitted", "submit"): 1,
        ("submitted", "generated", "poll"): 1,
        ("generated", "archived", "poll"): 1,
        ("submitting", "failed(submit)", "submit"): 1,
    }


def test_a_move_that_comes_again_is_counted_once(store: Store, lives: Lives) -> None:
    lives.generated()

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="callback")
    store.jobs.move(JOB, S.EXPIRED, attempt=1, path="sweep")

    assert sum(counted(store, "move").values()) == 4


@pytest.mark.parametrize("word", BRINGS)
def test_jobs_are_counted_in_their_state(word: str, store: Store, lives: Lives) -> None:
    BRINGS[word](lives)

    assert store.metrics.read().jobs == {**dict.fromkeys(JobState, 0), lives.job().state: 1}


def test_arrivals_are_counted_by_what_became_of_them(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called(text="early")
    lives.bound()
    lives.called(text="done")
    lives.called(text="done")
    lives.called(request_id="another's")
    store.callbacks.arrive(JOB, attempt=1)
    store.jobs.move(JOB, S.GENERATED, attempt=1, path="callback")
    lives.called(text="after")

    assert counted(store, "callback") == {
        ("evolink", "early"): 1,
        ("evolink", "stored"): 1,
        ("evolink", "repeat"): 1,
        ("evolink", "mismatch"): 1,
        ("evolink", "unread"): 1,
        ("evolink", "late"): 1,
    }


@pytest.mark.parametrize("to", [S.GENERATED, S.FAILED])
def test_a_callback_that_does_not_come_after_a_poll_is_missed_once(
    to: JobState, store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    error = GENERATION_FAILED if to is S.FAILED else None
    store.jobs.move(JOB, to, attempt=1, path="poll", error=error, callback_in_ms=5 * MINUTE)

    clock.advance(5 * MINUTE - 1)
    before = store.metrics.count_missed()
    clock.advance(1)
    missed = [store.metrics.count_missed() for _ in range(2)]

    assert (before, missed) == (0, [1, 0])
    assert counted(store, "callback") == {("evolink", "missed"): 1}
    assert store.counters.all()[Counter.CALLBACKS_MISSED] == 1


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_callback_that_comes_is_not_missed(comes_first: bool, store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()
    if comes_first:
        lives.called()
    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", callback_in_ms=5 * MINUTE)
    if not comes_first:
        lives.called()

    clock.advance(DAY)

    assert store.metrics.count_missed() == 0


def test_a_value_lies_in_the_bucket_that_it_does_not_pass(store: Store) -> None:
    for seconds in (0.05, 0.1, 0.11, 61.0):
        store.metrics.submitted("evolink", Outcome.TAKEN, seconds)

    assert counted(store, "submit") == {("evolink", "taken"): 4}
    of = (Histogram.POST_DURATION, "evolink")
    assert counted(store, "hist") == {(*of, "0.1"): 2, (*of, "0.25"): 1, (*of, "inf"): 1, (*of, "sum"): 61_260}


def test_links_are_told_by_when_they_end_those_of_failed_copies_too(store: Store, lives: Lives, clock: Clock) -> None:
    lives.generated()  # of an unknown end: a day
    assert store.metrics.read().links_ending == {0: 0, 3600: 0, 6 * 3600: 0}

    clock.advance(DAY - 3 * 3600_000)
    assert store.metrics.read().links_ending == {0: 0, 3600: 0, 6 * 3600: 1}

    claim = lives.claimed()
    store.due.rest(claim, due_in_ms=MINUTE, behind=True)
    clock.advance(3 * 3600_000)
    assert store.metrics.read().links_ending == {0: 1, 3600: 1, 6 * 3600: 1}


def test_the_oldest_of_each_open_state_are_looked_at(store: Store, lives: Lives, clock: Clock) -> None:
    for n in range(OLDEST + 5):
        lives.accepted(f"job-{n:03}", due_in_ms=DAY)
        clock.advance(1)
    lives.generated("job-last")
    lives.cancelled("job-gone")
    lives.closed(lives.job("job-gone"))

    assert set(store.metrics.read().oldest) == {*(f"job-{n:03}" for n in range(OLDEST)), "job-last"}


def test_a_figure_that_cannot_be_written_fails_nothing(
    store: Store, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.set("callsheet:{0}:metrics", "no hash")

    store.metrics.submitted("evolink", Outcome.TAKEN, 1.0)

    assert "metric.unwritten" in caplog.messages


def test_shards_are_told_as_one(client: redis.Redis, clock: Clock) -> None:
    store = Store(client, retention_ms=RETENTION, clock=clock, shards=5)
    lives = Lives(store)
    for n in range(20):
        lives.submitted(f"job-{n}", f"r{n}")

    figures = store.metrics.read()

    assert (figures.jobs[S.SUBMITTED], figures.now) == (20, clock.now)
    assert figures.counted["move", "submitting", "submitted", "submit"] == 20
