"""Callbacks: each delivery is kept once and makes its job due; it never says what is true."""

from __future__ import annotations

import pytest

from tests.integration.store.conftest import BRINGS, JOB, LEASE, MINUTE, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Arrival, Store

FAR = 120 * MINUTE
S = JobState
BINDING = ["accepted", "submitting", "unconfirmed", "failed(confirm)"]
REVIVING = ["expired", "failed(archive)", "failed(generate)"]


def test_a_terminal_callback_is_stored_once_and_makes_the_job_due(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()

    arrival = lives.called()

    assert arrival == Arrival("stored", S.SUBMITTED, "evolink", is_due=True)
    assert store.due.ids(10) == [JOB]
    (event,) = store.callbacks.events(JOB)
    assert (event.at, event.attempt, event.request_id, event.is_terminal) == (clock.now, 1, "r1", True)
    assert event.text == '{"says": "done"}'


def test_a_callback_moves_nothing_by_itself(store: Store, lives: Lives) -> None:
    before = lives.submitted()

    lives.called()

    job = lives.job()
    assert (job.state, job.ver, job.progress) == (before.state, before.ver, before.progress)


def test_a_redelivered_callback_is_a_repeat(store: Store, lives: Lives) -> None:
    lives.submitted()

    words = [lives.called().word for _ in range(4)]

    assert words == ["stored", "repeat", "repeat", "repeat"]
    assert len(store.callbacks.events(JOB)) == 1


def test_ids_that_take_the_places_of_denied_ones_have_one_look_a_minute(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    for n in range(8):
        assert lives.called(request_id=f"forged-{n}").is_due
        store.callbacks.deny_candidate(JOB, f"forged-{n}", attempt=1)
    store.due.rest(lives.claimed(), due_in_ms=FAR)

    arrival = lives.called(request_id="forged-8")

    assert (arrival.word, arrival.is_due, store.due.ids()) == ("stored", False, [])
    assert store.due.next_at() == store.clock.now() + MINUTE


@pytest.mark.parametrize("word", ["submitted", *REVIVING])
def test_a_callback_with_another_request_id_is_kept_nowhere_and_its_job_looked_at(
    store: Store, lives: Lives, word: str
) -> None:
    BRINGS[word](lives)

    assert lives.called(request_id="another").word == "mismatch"

    assert (store.callbacks.events(JOB), dict(store.callbacks.candidates(JOB)), store.due.ids()) == ((), {}, [JOB])


def test_a_callback_with_another_request_id_changes_nothing_for_a_job_that_needs_none(
    store: Store, lives: Lives
) -> None:
    lives.generated()
    before, due_at = lives.job(), store.due.next_at()

    assert lives.called(request_id="another").word == "mismatch"

    assert (lives.job(), store.due.next_at(), store.callbacks.events(JOB)) == (before, due_at, ())


@pytest.mark.parametrize("word", BINDING)
@pytest.mark.parametrize("terminal", [True, False])
def test_an_early_callback_is_kept_as_a_candidate_with_its_event(
    store: Store, lives: Lives, clock: Clock, word: str, terminal: bool
) -> None:
    BRINGS[word](lives)

    assert lives.called(request_id="early", terminal=terminal).word == "stored"

    assert store.callbacks.candidates(JOB) == {"early": clock.now}
    assert len(store.callbacks.events(JOB)) == 1
    assert lives.job().request_id is None


def test_an_early_callback_waits_for_the_post_that_is_in_flight(store: Store, lives: Lives, clock: Clock) -> None:
    claim = lives.submitting()

    lives.called()

    assert store.due.next_at() == claim.job.lease_until
    clock.advance(LEASE)
    assert store.due.ids(10) == [JOB]


def test_an_early_callback_makes_an_unconfirmed_job_due(store: Store, lives: Lives) -> None:
    lives.unconfirmed()

    lives.called()

    assert store.due.ids(10) == [JOB]


def test_a_job_that_turns_unconfirmed_while_a_candidate_waits_is_due_at_once(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called()

    reply = store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="submit", due_in_ms=MINUTE)

    assert reply.due_now
    assert store.callbacks.candidates(JOB)


def test_a_forged_early_callback_cannot_push_out_the_true_one(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    lives.called(request_id="true")
    for n in range(20):
        lives.called(request_id=f"forged-{n}")

    assert "true" in store.callbacks.candidates(JOB)
    assert len(store.callbacks.candidates(JOB)) == 8


def test_a_full_candidate_set_says_so_instead_of_swallowing_the_callback(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    for n in range(8):
        assert lives.called(request_id=f"forged-{n}").word == "stored"

    assert lives.called(request_id="true").word == "full"

    store.callbacks.drop_candidate(JOB, "forged-0")
    assert lives.called(request_id="true").word == "stored"


def test_a_candidate_that_a_get_has_denied_gives_way_to_a_newcomer(store: Store, lives: Lives, clock: Clock) -> None:
    lives.unconfirmed()
    for n in range(8):
        clock.advance(1)
        lives.called(request_id=f"r{n}")
    seen = store.callbacks.candidates(JOB)
    assert store.callbacks.deny_candidate(JOB, "r5", attempt=1)
    assert store.callbacks.deny_candidate(JOB, "r3", attempt=1)

    assert lives.called(request_id="true").word == "stored"

    assert list(store.callbacks.candidates(JOB)) == ["r0", "r1", "r2", "r4", "r5", "r6", "r7", "true"]
    assert store.callbacks.candidates(JOB)["r5"] == seen["r5"], "denied, and as old as before"
    assert "r3" not in {event.request_id for event in store.callbacks.events(JOB)}


def test_a_denied_candidate_stays_while_there_is_room(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    lives.called(request_id="shown late")
    store.callbacks.deny_candidate(JOB, "shown late", attempt=1)

    for n in range(7):
        lives.called(request_id=f"r{n}")

    assert "shown late" in store.callbacks.candidates(JOB)
    assert lives.called(request_id="shown late", text="another word").word == "stored"


def test_what_is_no_candidate_cannot_be_denied(store: Store, lives: Lives) -> None:
    lives.unconfirmed()

    assert not store.callbacks.deny_candidate(JOB, "r1", attempt=1)
    assert not store.callbacks.deny_candidate("no-such-job", "r1", attempt=1)

    assert store.callbacks.candidates(JOB) == {}


def test_a_known_candidate_needs_no_room(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    for n in range(8):
        lives.called(request_id=f"r{n}")

    assert lives.called(request_id="r3").word == "repeat"
    assert lives.called(request_id="r3", text="another word").word == "stored"


def test_a_candidate_keeps_the_instant_it_was_first_seen(store: Store, lives: Lives, clock: Clock) -> None:
    lives.unconfirmed()
    lives.called()
    first = clock.now
    clock.advance(MINUTE)

    lives.called(text="again")

    assert store.callbacks.candidates(JOB) == {"r1": first}


def test_a_dropped_candidate_takes_its_events_along_and_may_come_again(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    lives.called(request_id="r1")
    lives.called(request_id="r2")

    assert store.callbacks.drop_candidate(JOB, "r1") is True
    assert store.callbacks.drop_candidate(JOB, "r1") is False

    assert [event.request_id for event in store.callbacks.events(JOB)] == ["r2"]
    assert lives.called(request_id="r1").word == "stored"


def test_of_a_flood_of_different_callbacks_the_latest_are_kept(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()
    for n in range(40):
        clock.advance(1)
        assert lives.called(text=f"done {n}").word == "stored"

    assert [event.fingerprint for event in store.callbacks.events(JOB)] == [f"r1/done {n}" for n in range(24, 40)]


def test_a_job_with_a_waiting_candidate_is_not_closed(store: Store, lives: Lives) -> None:
    job = lives.outcome_unknown()
    lives.called()

    reply = lives.told(job)

    assert reply.job is not None
    assert reply.job.is_open
    assert store.due.ids(10) == [JOB]


def test_a_contradicted_callback_is_counted_and_forgotten(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitted()
    lives.called()

    assert store.callbacks.contradict(JOB, seen_until=clock.now) == 1
    assert store.callbacks.contradict(JOB, seen_until=clock.now) == 1

    assert store.callbacks.events(JOB) == ()
    assert lives.job().contradictions == 1


def test_a_callback_that_came_after_the_answer_is_not_contradicted_by_it(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    claim = lives.claimed()
    clock.advance(1)
    lives.called()

    assert store.callbacks.contradict(JOB, seen_until=claim.now) == 0

    assert len(store.callbacks.events(JOB)) == 1


def test_a_callback_of_another_attempt_is_kept_and_moves_nothing(store: Store, lives: Lives) -> None:
    lives.submitted()
    before, due_at = lives.job(), store.due.next_at()

    assert lives.called(request_id="older", attempt=2).word == "late"

    assert (lives.job(), store.due.next_at()) == (before, due_at)
    assert [(event.attempt, event.request_id) for event in store.callbacks.events(JOB)] == [(2, "older")]


def test_callbacks_of_other_attempts_never_take_the_room_of_the_current_one(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    words = [lives.called(request_id=f"old-{n}", attempt=2).word for n in range(9)]

    for n in range(20):
        clock.advance(1)
        assert lives.called(text=f"done {n}").word == "stored"

    assert words == ["late"] * 8 + ["full"]
    assert sum(event.attempt == 2 for event in store.callbacks.events(JOB)) == 8
    assert sum(event.attempt == 1 for event in store.callbacks.events(JOB)) == 16


def test_a_callback_of_the_current_attempt_stays_whatever_is_told_of_others(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.submitted()
    for n in range(16):
        clock.advance(1)
        lives.called(text=f"done {n}")

    words = [lives.called(request_id=f"old-{n}", attempt=2).word for n in range(8)]

    assert words == ["late"] * 8
    assert {event.fingerprint for event in store.callbacks.events(JOB) if event.attempt == 1} == {
        f"r1/done {n}" for n in range(16)
    }


@pytest.mark.parametrize("request_id", ['a "quoted" id', "two words", "new\nline", "ümläut", "x" * 200])
def test_whatever_a_provider_calls_a_request_is_kept_as_it_is(store: Store, lives: Lives, request_id: str) -> None:
    lives.unconfirmed()

    lives.called(request_id=request_id)

    assert [event.request_id for event in store.callbacks.events(JOB)] == [request_id]
    assert lives.bound(request_id=request_id).due_now
