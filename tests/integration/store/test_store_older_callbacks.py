"""Callbacks of an attempt that is over: each request that they name has one place, and a denied one gives way."""

from __future__ import annotations

from tests.integration.store.conftest import JOB, MINUTE, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Store

FAR = 120 * MINUTE
S = JobState


def second_attempt(store: Store, lives: Lives) -> None:
    """A first attempt whose outcome is unknown, and an operator's second one, accepted."""
    lives.closed(lives.outcome_unknown())
    assert store.attempts.try_again(JOB, attempt=1, pay_again=True).applied


def forged_of_the_first(lives: Lives, clock: Clock) -> None:
    """A callback of the first attempt in each of its places."""
    for n in range(8):
        clock.advance(1)
        assert lives.called(request_id=f"forged-{n}").word == "late"


def test_a_full_set_of_an_older_attempt_says_so_and_makes_the_job_due_once_a_minute(
    store: Store, lives: Lives, clock: Clock
) -> None:
    second_attempt(store, lives)
    store.due.rest(lives.claimed(), due_in_ms=FAR)
    forged_of_the_first(lives, clock)
    assert store.due.ids() == []

    arrivals = [lives.called(request_id=f"true-{n}") for n in range(3)]

    assert [arrival.word for arrival in arrivals] == ["full"] * 3
    assert [arrival.is_due for arrival in arrivals] == [True, False, False]
    assert store.due.ids() == [JOB]


def test_a_denied_request_of_an_older_attempt_gives_way_to_a_newcomer(store: Store, lives: Lives, clock: Clock) -> None:
    second_attempt(store, lives)
    forged_of_the_first(lives, clock)
    assert store.callbacks.deny_candidate(JOB, "forged-5", attempt=1)
    assert store.callbacks.deny_candidate(JOB, "forged-3", attempt=1)

    assert lives.called(request_id="true").word == "late"

    kept = {event.request_id: event.is_denied for event in store.callbacks.events(JOB)}
    assert kept == {**{f"forged-{n}": n == 5 for n in (0, 1, 2, 4, 5, 6, 7)}, "true": False}


def test_one_request_takes_one_place_of_an_older_attempt_whatever_is_said_of_it(store: Store, lives: Lives) -> None:
    second_attempt(store, lives)
    for n in range(20):
        assert lives.called(request_id="r9", text=f"word {n}", terminal=n > 10).word == "late"

    assert [(event.request_id, event.is_terminal) for event in store.callbacks.events(JOB)] == [("r9", True)]


def test_callbacks_of_an_attempt_whose_request_is_known_take_no_place_of_another(
    store: Store, lives: Lives, clock: Clock
) -> None:
    second_attempt(store, lives)
    store.attempts.bind(JOB, attempt=2, provider="gmicloud", request_id="r2", path="submit")
    lives.called(request_id="r2", attempt=2)
    store.due.rest(lives.claimed(), due_in_ms=FAR)
    store.jobs.move(JOB, S.EXPIRED, attempt=2, path="sweep")
    lives.told(lives.job())
    assert store.attempts.try_again(JOB, attempt=2, pay_again=True).applied
    forged_of_the_first(lives, clock)

    assert lives.called(request_id="r2", attempt=2, text="again").word == "late"
    assert lives.called(request_id="true").word == "full"


def test_a_job_that_has_its_video_or_is_closed_is_not_woken_for_an_older_attempt(
    store: Store, lives: Lives, clock: Clock
) -> None:
    second_attempt(store, lives)
    forged_of_the_first(lives, clock)
    store.attempts.bind(JOB, attempt=2, provider="gmicloud", request_id="r2", path="submit")
    store.jobs.move(JOB, S.GENERATED, attempt=2, path="poll", due_in_ms=FAR)
    assert (lives.called(request_id="true").is_due, store.due.ids()) == (False, [])

    store.jobs.move(JOB, S.ARCHIVED, attempt=2, path="poll")
    lives.told(lives.job())

    assert not lives.job().is_open
    assert not lives.called(request_id="true").is_due
    assert not lives.job().is_open
