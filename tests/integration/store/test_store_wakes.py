"""The instant at which a callback makes its job due: at once if it tells something new, else a look a minute."""

from __future__ import annotations

import pytest

from tests.integration.store.conftest import BRINGS, DAY, JOB, MINUTE, Clock, Lives
from worker.store import Store

FAR = 120 * MINUTE
LATE = ["generated", "archived", "failed(submit)", "cancelled"]
REVIVING = ["expired", "failed(archive)", "failed(generate)"]


def test_of_callbacks_that_tell_nothing_new_each_job_has_one_look_a_minute(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted(due_in_ms=FAR)
    looks = 0
    lives.called()

    for n in range(601):
        if store.due.ids():
            looks += 1
            store.due.rest(lives.claimed(), due_in_ms=FAR)
        lives.called(text=f"another {n}")
        clock.advance(1_000)

    assert looks == 11


def test_a_callback_within_the_minute_is_looked_at_when_the_minute_is_over(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted(due_in_ms=FAR)
    lives.called()
    store.due.rest(lives.claimed(), due_in_ms=FAR)
    clock.advance(10_000)

    arrivals = [lives.called(), lives.called(text="another")]

    assert [(arrival.word, arrival.is_due) for arrival in arrivals] == [("repeat", False), ("stored", False)]
    assert (store.due.ids(), store.due.next_at()) == ([], clock.now + 50_000)


def test_a_callback_that_comes_during_a_look_is_looked_at_after_the_minute_too(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted(due_in_ms=FAR)
    lives.called()
    claim = lives.claimed()
    lives.called(text="another")

    store.due.rest(claim, due_in_ms=FAR)

    assert store.due.next_at() == clock.now + MINUTE


def test_a_callback_after_one_that_was_denied_is_looked_at_at_once(store: Store, lives: Lives) -> None:
    lives.submitted(due_in_ms=FAR)
    lives.called(text="forged")
    store.callbacks.contradict(JOB)
    store.due.rest(lives.claimed(), due_in_ms=FAR)

    assert lives.called().is_due

    assert store.due.ids() == [JOB]


@pytest.mark.parametrize("word", ["submitted", "unconfirmed", "failed(confirm)", *REVIVING])
def test_a_delivery_of_which_only_the_url_can_be_read_makes_its_job_due(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)

    arrival = store.callbacks.arrive(JOB, attempt=1)

    assert (arrival.word, arrival.is_due) == ("unread", True)
    assert (store.due.ids(), store.callbacks.events(JOB), dict(store.callbacks.candidates(JOB))) == ([JOB], (), {})


def test_of_deliveries_that_cannot_be_read_each_job_has_one_look_a_minute(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted(due_in_ms=FAR)
    store.callbacks.arrive(JOB, attempt=1)
    store.due.rest(lives.claimed(), due_in_ms=FAR)

    assert not store.callbacks.arrive(JOB, attempt=1).is_due

    assert store.due.next_at() == clock.now + MINUTE


def test_a_minute_written_by_a_clock_that_was_ahead_holds_nothing_up(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted(due_in_ms=FAR)
    clock.advance(DAY)
    lives.called()
    store.due.rest(lives.claimed(), due_in_ms=FAR)
    clock.advance(-DAY)

    assert store.callbacks.arrive(JOB, attempt=1).is_due


@pytest.mark.parametrize("word", LATE)
def test_a_delivery_that_cannot_be_read_changes_nothing_for_a_job_that_needs_none(
    store: Store, lives: Lives, word: str
) -> None:
    BRINGS[word](lives)
    before, due_at = lives.job(), store.due.next_at()

    assert store.callbacks.arrive(JOB, attempt=1).word == "late"

    assert (lives.job(), store.due.next_at()) == (before, due_at)


def test_a_non_terminal_word_for_the_current_request_is_worth_one_look(store: Store, lives: Lives) -> None:
    lives.submitted(due_in_ms=FAR)

    assert lives.called(terminal=False).word == "noted"

    assert (store.callbacks.events(JOB), store.due.ids(10)) == ((), [JOB])


def test_a_callback_starts_the_nudges_anew(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted(due_in_ms=0)
    store.due.nudge([JOB])

    lives.called()

    assert lives.job().nudges == 0


def test_after_three_contradictions_a_callback_no_longer_makes_the_job_due(store: Store, lives: Lives) -> None:
    lives.submitted()
    for n in range(3):
        lives.called(text=f"forged {n}")
        claim = lives.claimed()
        store.callbacks.contradict(JOB, seen_until=claim.now)
        store.due.rest(claim, due_in_ms=MINUTE)

    assert lives.called(text="forged again").word == "stored"

    assert store.due.ids(10) == []
