"""Callbacks: each delivery is kept once and makes its job due; it never says what is true."""

from __future__ import annotations

import pytest
import redis

from tests.integration.store.conftest import BRINGS, DAY, JOB, LEASE, MINUTE, OUTCOME_UNKNOWN, RETENTION, Clock, Lives
from worker.jobs.states import JobState
from worker.store import Arrival, Store

FAR = 120 * MINUTE
S = JobState

BINDING = ["accepted", "submitting", "unconfirmed", "failed(confirm)"]
LATE = ["generated", "archived", "failed(submit)", "cancelled"]
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


def test_ids_that_take_the_places_of_denied_ones_have_one_look_a_minute(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    for n in range(8):
        assert lives.called(request_id=f"forged-{n}").is_due
        store.callbacks.deny_candidate(JOB, f"forged-{n}")
    store.due.rest(lives.claimed(), due_in_ms=FAR)

    arrival = lives.called(request_id="forged-8")

    assert (arrival.word, arrival.is_due, store.due.ids()) == ("stored", False, [])
    assert store.due.next_at() == store.clock.now() + MINUTE


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


@pytest.mark.parametrize("word", LATE)
def test_a_callback_for_a_job_that_needs_none_is_late(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    before = lives.job()

    assert lives.called().word == "late"

    assert lives.job() == before


def test_failed_after_completed_and_completed_after_failed_move_nothing(store: Store, lives: Lives) -> None:
    lives.generated()

    assert lives.called(text="failed").word == "late"

    assert lives.job().state is S.GENERATED


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


def test_the_callbacks_of_a_lost_job_are_its_own_when_it_is_accepted_again(
    store: Store, lives: Lives, client: redis.Redis, clock: Clock
) -> None:
    lives.submitted()
    client.flushdb()
    assert lives.called().word == "missing"
    assert lives.called().word == "missing"
    seen_at = clock.now
    assert 0 < client.pttl(f"callsheet:{{0}}:candidates:{JOB}") <= 30 * DAY
    assert 0 < client.pttl(f"callsheet:{{0}}:events:{JOB}") <= 30 * DAY
    clock.advance(DAY)

    assert lives.accepted(due_in_ms=MINUTE).word == "applied"

    assert store.callbacks.candidates(JOB) == {"r1": seen_at}
    assert [(event.request_id, event.is_terminal) for event in store.callbacks.events(JOB)] == [("r1", True)]
    assert store.due.ids() == [JOB]
    assert client.pttl(f"callsheet:{{0}}:candidates:{JOB}") == -1
    assert store.attempts.begin(lives.claimed()).word == "late", "a POST is on record that this record does not know"
    assert lives.bound().due_now


def test_a_flood_to_one_lost_job_pushes_out_no_id_of_another(store: Store, lives: Lives, client: redis.Redis) -> None:
    for n in range(60):
        lives.submitted(f"lost-{n}", f"r{n}")
    client.flushdb()
    for n in range(60):
        lives.called(f"lost-{n}", f"r{n}")

    for n in range(300):
        assert lives.called("lost-0", f"junk-{n}").word == "missing"

    assert all(f"r{n}" in store.callbacks.candidates(f"lost-{n}") for n in range(60))
    assert len(store.callbacks.candidates("lost-0")) == 8
    assert len(store.callbacks.events("lost-0")) <= 16


def test_a_delivery_of_which_only_the_url_can_be_read_keeps_nothing_of_a_lost_job(
    store: Store, client: redis.Redis
) -> None:
    assert store.callbacks.arrive(JOB, attempt=1).word == "missing"

    assert list(client.scan_iter(match=f"*:{JOB}")) == []


def test_a_job_nobody_called_back_about_begins_with_nothing(store: Store, lives: Lives, client: redis.Redis) -> None:
    client.hset(f"callsheet:{{0}}:events:{JOB}", "left over", '1 1 1 "r0"\n{}')

    lives.accepted()

    assert store.callbacks.events(JOB) == ()
    assert store.callbacks.candidates(JOB) == {}


def test_a_callback_for_no_job_is_missing(lives: Lives) -> None:
    assert lives.called("nobody") == Arrival("missing", None)


def test_a_callback_for_a_tombstone_is_late(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.archived())
    client.delete(f"callsheet:{{0}}:job:{JOB}")

    assert lives.called() == Arrival("late", S.ARCHIVED, "evolink")


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
    assert store.callbacks.deny_candidate(JOB, "r5")
    assert store.callbacks.deny_candidate(JOB, "r3")

    assert lives.called(request_id="true").word == "stored"

    assert list(store.callbacks.candidates(JOB)) == ["r0", "r1", "r2", "r4", "r5", "r6", "r7", "true"]
    assert store.callbacks.candidates(JOB)["r5"] == seen["r5"], "denied, and as old as before"
    assert "r3" not in {event.request_id for event in store.callbacks.events(JOB)}


def test_a_denied_candidate_stays_while_there_is_room(store: Store, lives: Lives) -> None:
    lives.unconfirmed()
    lives.called(request_id="shown late")
    store.callbacks.deny_candidate(JOB, "shown late")

    for n in range(7):
        lives.called(request_id=f"r{n}")

    assert "shown late" in store.callbacks.candidates(JOB)
    assert lives.called(request_id="shown late", text="another word").word == "stored"


def test_what_is_no_candidate_cannot_be_denied(store: Store, lives: Lives) -> None:
    lives.unconfirmed()

    assert not store.callbacks.deny_candidate(JOB, "r1")
    assert not store.callbacks.deny_candidate("no-such-job", "r1")

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


def test_a_callback_reopens_a_closed_job_whose_outcome_was_unknown(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.closed(lives.outcome_unknown())

    assert lives.called().word == "stored"

    assert lives.job().is_open
    assert store.due.ids(10) == [JOB]
    assert client.exists(f"callsheet:{{0}}:tombstone:{JOB}") == 0
    assert [client.pttl(key) for key in client.scan_iter(f"*:{JOB}")] == [-1] * 4


@pytest.mark.parametrize("word", REVIVING)
def test_a_late_callback_with_the_right_id_reopens_a_job_whose_video_may_still_come(
    store: Store, lives: Lives, word: str
) -> None:
    BRINGS[word](lives)
    lives.closed(lives.job())

    assert lives.called().word == "stored"

    assert lives.job().is_open
    assert store.due.ids(10) == [JOB]


@pytest.mark.parametrize("word", REVIVING)
def test_a_replayed_callback_does_not_reopen_it_again_and_again(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    lives.called()
    store.due.rest(lives.claimed(), due_in_ms=MINUTE)
    lives.closed(lives.job())

    assert lives.called().word == "repeat"

    assert not lives.job().is_open


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


def test_after_three_contradictions_a_callback_no_longer_makes_the_job_due(store: Store, lives: Lives) -> None:
    lives.submitted()
    for n in range(3):
        lives.called(text=f"forged {n}")
        claim = lives.claimed()
        store.callbacks.contradict(JOB, seen_until=claim.now)
        store.due.rest(claim, due_in_ms=MINUTE)

    assert lives.called(text="forged again").word == "stored"

    assert store.due.ids(10) == []


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


def test_what_is_kept_for_a_closed_job_dies_with_its_record(store: Store, lives: Lives, client: redis.Redis) -> None:
    lives.closed(lives.archived())

    lives.called(request_id="older", attempt=2)

    assert 0 < client.pttl(f"callsheet:{{0}}:events:{JOB}") <= RETENTION


def test_an_outcome_unknown_that_learns_its_candidate_meanwhile_is_looked_at_after_it_is_told(
    store: Store, lives: Lives
) -> None:
    lives.unconfirmed()
    claim = lives.claimed()
    lives.called()

    reply = store.jobs.move(JOB, S.FAILED, attempt=1, path="sweep", lease=claim.token, error=OUTCOME_UNKNOWN)

    assert reply.applied
    assert store.callbacks.candidates(JOB)
    assert store.due.ids(10) == [JOB]


@pytest.mark.parametrize("request_id", ['a "quoted" id', "two words", "new\nline", "ümläut", "x" * 200])
def test_whatever_a_provider_calls_a_request_is_kept_as_it_is(store: Store, lives: Lives, request_id: str) -> None:
    lives.unconfirmed()

    lives.called(request_id=request_id)

    assert [event.request_id for event in store.callbacks.events(JOB)] == [request_id]
    assert lives.bound(request_id=request_id).due_now
