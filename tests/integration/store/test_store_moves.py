"""Moves: only the table's, only for the current attempt and try, and never a fact thrown away."""

from __future__ import annotations

from itertools import pairwise

import pytest
import redis

from tests.integration.store.conftest import (
    BRINGS,
    GENERATION_FAILED,
    JOB,
    LEASE,
    LINK_DEAD,
    MINUTE,
    OUTCOME_UNKNOWN,
    REFUSED,
    VIDEO,
    Clock,
    Lives,
)
from worker.jobs.job import JobError, Link, videos_json
from worker.jobs.states import FAILS, SOURCES, STAGES, JobState
from worker.store import Fields, Reply, Store, TimelineEntry

S = JobState


def _move(store: Store, to: JobState, *, lease: str | None = None, error: JobError = LINK_DEAD) -> Reply:
    return store.jobs.move(
        JOB, to, attempt=1, path="poll", lease=lease, error=error if to is S.FAILED else None, due_in_ms=MINUTE
    )


@pytest.mark.parametrize("to", [state for state in S if state is not S.SUBMITTING])
@pytest.mark.parametrize("word", BRINGS)
def test_only_listed_moves_happen(store: Store, lives: Lives, word: str, to: JobState) -> None:
    BRINGS[word](lives)
    before = lives.job()

    reply = _move(store, to)

    sources = FAILS[LINK_DEAD.stage] if to is S.FAILED else SOURCES[to]
    expected = "repeat" if before.state is to else "applied" if word in sources else "late"
    after = lives.job()
    assert reply.word == expected
    assert after.state is (to if expected == "applied" else before.state)
    assert after.ver == before.ver + (expected == "applied")
    assert (after.error is not None) == (after.state is S.FAILED)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("word", [word for word in BRINGS if not word.startswith("failed")])
def test_a_job_fails_only_at_the_stage_that_it_has_reached(store: Store, lives: Lives, word: str, stage: str) -> None:
    BRINGS[word](lives)

    reply = _move(store, S.FAILED, error=JobError(stage, "code", "message"))

    assert reply.word == ("applied" if word in FAILS[stage] else "late")


def test_a_job_of_which_a_callback_tells_is_not_given_up_as_never_sent(store: Store, lives: Lives) -> None:
    lives.accepted()
    claim = lives.claimed()
    lives.called()

    reply = _move(store, S.FAILED, lease=claim.token, error=JobError("submit", "submit_deadline", "message"))

    assert (reply.word, lives.job().state) == ("late", S.ACCEPTED)


@pytest.mark.parametrize("word", [word for word in BRINGS if word not in ("submitting", "accepted")])
def test_a_post_begins_only_for_an_accepted_job(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    claim = lives.claimed()

    assert store.attempts.begin(claim).word == "late"


def test_a_move_of_a_missing_job_says_so(store: Store) -> None:
    assert store.jobs.move("nobody", S.GENERATED, attempt=1, path="poll").word == "missing"


def test_a_move_is_timed_versioned_and_appended_to_the_timeline(store: Store, lives: Lives, clock: Clock) -> None:
    job = lives.submitted()
    clock.advance(500)

    reply = store.jobs.move(
        JOB, S.GENERATED, attempt=1, path="callback", due_in_ms=700, notes={"polls": "3"}, detail="1 video"
    )

    assert reply.job is not None
    assert (reply.job.ver, reply.job.state_at, reply.job.path, reply.job.polls) == (
        job.ver + 1,
        clock.now,
        "callback",
        3,
    )
    assert store.history.timeline(JOB)[-1] == TimelineEntry(
        clock.now, "submitted", "generated", "callback", 1, "1 video"
    )
    assert store.due.next_at() == clock.now + 700


def test_a_failure_keeps_its_reason_until_the_job_leaves_it(store: Store, lives: Lives) -> None:
    failed = lives.archive_failed()

    reply = _move(store, S.ARCHIVED)

    assert failed.error == LINK_DEAD
    assert reply.job is not None
    assert reply.job.error is None
    assert store.history.timeline(JOB)[-1].source == "failed(archive)"


def test_a_failure_without_a_reason_is_refused(store: Store, lives: Lives) -> None:
    lives.submitted()

    with pytest.raises(ValueError, match="says why"):
        store.jobs.move(JOB, S.FAILED, attempt=1, path="poll")


def test_a_providers_own_failure_is_undone_only_by_its_own_success(store: Store, lives: Lives) -> None:
    lives.generation_failed()

    assert [_move(store, to).word for to in (S.SUBMITTED, S.EXPIRED, S.ARCHIVED)] == ["late"] * 3
    assert lives.job().error == GENERATION_FAILED
    assert _move(store, S.GENERATED).word == "applied"


def test_notes_of_the_step_before_do_not_outlive_a_move(store: Store, lives: Lives) -> None:
    lives.submitted()
    store.due.rest(lives.claimed(), due_in_ms=0, notes={"waiting_for": "evolink", "failures": "3"})

    _move(store, S.GENERATED)

    assert (lives.job().waiting_for, lives.job().failures) == ("", 0)


def test_each_post_is_numbered_and_its_intent_keeps_the_lease(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    claim = lives.claimed()
    clock.advance(10)

    reply = store.attempts.begin(claim, notes={"begun_at": str(clock.now)})

    assert reply.job is not None
    assert (reply.job.state, reply.job.try_no, reply.job.lease) == (S.SUBMITTING, 1, claim.token)
    assert reply.job.begun_at == clock.now
    assert store.due.next_at() == claim.job.lease_until


def test_no_post_begins_without_a_lease(store: Store, lives: Lives) -> None:
    lives.accepted()

    with pytest.raises(ValueError, match="lease"):
        store.jobs.move(JOB, S.SUBMITTING, attempt=1, path="submit")


def test_no_post_begins_under_a_lapsed_lease(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    claim = lives.claimed()
    clock.advance(LEASE)

    assert store.attempts.begin(claim).word == "late"
    assert lives.job().state is S.ACCEPTED


def test_no_post_begins_under_a_lease_that_was_taken_over(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    paused = lives.claimed()
    clock.advance(LEASE)
    taker = lives.claimed()

    assert store.attempts.begin(paused).word == "late"
    assert store.attempts.begin(taker).applied


def test_no_post_begins_with_too_little_of_its_lease_left(store: Store, lives: Lives, clock: Clock) -> None:
    lives.accepted()
    claim = lives.claimed()
    clock.advance(LEASE - 20_000)

    assert store.attempts.begin(claim, lease_ms_left_needed=20_000).word == "late"
    assert store.attempts.begin(claim, lease_ms_left_needed=19_999).applied


@pytest.mark.parametrize("word", ["unconfirmed", "submitted", "generated", "expired", "cancelled"])
def test_no_post_begins_but_of_an_accepted_job(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)
    claim = store.due.claim(JOB, states=tuple(S), lease_ms=LEASE)
    assert claim is not None
    before = lives.job()

    assert store.attempts.begin(claim).word == "late"
    assert lives.job() == before


def test_the_same_intent_twice_permits_one_post(store: Store, lives: Lives) -> None:
    lives.accepted()
    claim = lives.claimed()

    words = [store.attempts.begin(claim).word for _ in range(2)]

    assert words == ["applied", "repeat"]
    assert lives.job().try_no == 1


def test_no_post_begins_while_a_callback_tells_of_one_that_is_not_on_record(store: Store, lives: Lives) -> None:
    """Redis may have lost its last second, the intent and the POST's answer in it."""
    lives.accepted()
    claim = lives.claimed()
    lives.called(request_id="r1")

    assert store.attempts.begin(claim).word == "late"
    assert _move(store, S.UNCONFIRMED, lease=claim.token).applied


def test_no_post_begins_for_an_attempt_whose_request_is_known(store: Store, lives: Lives) -> None:
    lives.accepted()
    claim = lives.claimed()
    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", request_ids={1: "r1"})

    assert store.attempts.begin(claim).word == "late"


def test_not_taken_lets_the_next_try_begin(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitting()

    assert lives.not_taken(try_no=1).applied

    assert store.attempts.begin(lives.claimed()).applied
    assert lives.job().try_no == 2


def test_not_taken_of_an_earlier_try_never_sends_a_taken_one_back(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.not_taken(try_no=1)
    store.attempts.begin(lives.claimed())

    assert lives.not_taken(try_no=1).word == "late"

    assert lives.job().state is S.SUBMITTING


def test_taken_counts_however_late_after_the_lease_lapsed(store: Store, lives: Lives, clock: Clock) -> None:
    lives.submitting()
    clock.advance(LEASE)
    assert _move(store, S.UNCONFIRMED, lease=lives.claimed().token).applied

    assert lives.bound().applied

    assert lives.job().request_id == "r1"


def test_a_sweeps_verdict_loses_against_the_answer_that_came_meanwhile(
    store: Store, lives: Lives, clock: Clock
) -> None:
    lives.unconfirmed()
    sweeper = lives.claimed()
    lives.bound()

    reply = _move(store, S.FAILED, lease=sweeper.token, error=OUTCOME_UNKNOWN)

    assert reply.word == "late"
    assert lives.job().state is S.SUBMITTED


def test_a_verdict_under_a_lapsed_lease_does_not_count(store: Store, lives: Lives, clock: Clock) -> None:
    lives.generated()
    claim = lives.claimed()
    clock.advance(LEASE)

    assert _move(store, S.FAILED, lease=claim.token).word == "late"


def test_a_verified_object_counts_after_the_lease_lapsed(store: Store, lives: Lives, clock: Clock) -> None:
    lives.generated()
    lives.claimed()
    clock.advance(LEASE)
    lives.claimed()

    assert lives.store_archived().applied

    assert lives.job().videos == (VIDEO,)


def test_facts_are_kept_on_a_repeat_and_on_a_late_report(store: Store, lives: Lives) -> None:
    lives.archived()

    repeat = store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"usage": '{"credits":1}'})
    late = store.jobs.move(JOB, S.SUBMITTED, attempt=1, path="poll", facts={"usage": '{"credits":2}'})

    assert (repeat.word, late.word) == ("repeat", "late")
    assert repeat.job is not None
    assert repeat.job.usage == {"credits": 1}
    assert lives.job().usage == {"credits": 2}


def test_facts_that_say_nothing_new_change_nothing(store: Store, lives: Lives) -> None:
    lives.closed(lives.archived())
    before = lives.job()

    store.jobs.move(JOB, S.ARCHIVED, attempt=1, path="poll", facts={"videos": videos_json((VIDEO,))})

    assert lives.job() == before


def test_notes_are_not_kept_on_a_late_report(store: Store, lives: Lives) -> None:
    lives.archived()

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", notes={"polls": "9"})

    assert lives.job().polls == 0


def test_progress_never_falls(store: Store, lives: Lives) -> None:
    lives.submitted()
    store.due.rest(lives.claimed(), due_in_ms=0, facts={"progress": "80"})

    store.due.rest(lives.claimed(), due_in_ms=0, facts={"progress": "40"})

    assert lives.job().progress == 80


def test_a_request_id_is_never_replaced_by_a_fact(store: Store, lives: Lives) -> None:
    lives.submitted()

    store.jobs.move(JOB, S.SUBMITTED, attempt=1, path="poll", request_ids={1: "r2"})

    assert lives.job().request_id == "r1"


@pytest.mark.parametrize("attempt", [2, 3])
def test_an_answer_for_another_attempt_keeps_its_id_and_usage_and_moves_nothing(
    store: Store, lives: Lives, attempt: int
) -> None:
    lives.accepted()
    facts: Fields = {"usage": "{}", "progress": "50"}

    reply = store.jobs.move(
        JOB, S.UNCONFIRMED, attempt=attempt, path="submit", facts=facts, request_ids={attempt: "r9"}
    )

    job = lives.job()
    assert reply.word == "late"
    assert (job.state, job.request_ids, job.progress, job.usage) == (S.ACCEPTED, {attempt: "r9"}, 0, {})
    assert store.scripts.client.hget(f"callsheet:{{0}}:job:{JOB}", f"usage.{attempt}") == "{}"


def test_links_are_kept_with_the_instant_the_first_one_ends(store: Store, lives: Lives) -> None:
    links = (Link("https://cdn.example/1.mp4", 2000), Link("https://cdn.example/2.mp4", 1000))

    job = lives.generated(links=links)

    assert store.jobs.links(JOB) == links
    assert job.link_expires_at == 1000


def test_a_fresh_link_replaces_a_dead_one_on_a_repeat(store: Store, lives: Lives) -> None:
    lives.generated(links=(Link("https://cdn.example/old.mp4", 1000),))
    fresh = (Link("https://cdn.example/new.mp4"),)

    reply = store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", links=fresh)

    assert reply.word == "repeat"
    assert store.jobs.links(JOB) == fresh
    assert lives.job().link_expires_at is None


def test_cancel_is_only_for_a_first_attempt_that_no_provider_has_heard_of(store: Store, lives: Lives) -> None:
    lives.submitting()

    assert store.jobs.move(JOB, S.CANCELLED, attempt=1, path="operator").word == "late"


def test_fields_of_the_store_cannot_be_written_as_facts_or_notes(store: Store, lives: Lives) -> None:
    lives.accepted()

    with pytest.raises(ValueError, match="ver"):
        store.jobs.move(JOB, S.UNCONFIRMED, attempt=1, path="poll", facts={"ver": "99"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lease"):
        store.jobs.note(JOB, lease="mine")  # type: ignore[call-arg]


def test_text_that_utf8_cannot_hold_is_no_reason_to_lose_a_report(store: Store, lives: Lives) -> None:
    lives.submitted()

    reply = store.jobs.move(
        JOB,
        S.FAILED,
        attempt=1,
        path="poll",
        error=JobError("generate", "bad", 'the "\ud800" é\n word'),
        detail="\udfff",
    )

    assert reply.applied
    assert lives.job().error == JobError("generate", "bad", 'the "?" é\n word')


def test_a_long_life_keeps_the_latest_two_hundred_moves_and_what_was_asked(store: Store, lives: Lives) -> None:
    lives.submitting()
    for try_no in range(1, 105):
        lives.not_taken(try_no=try_no)
        store.attempts.begin(lives.claimed())

    timeline = store.history.timeline(JOB)

    assert len(timeline) == 200
    assert all(before.target == after.source for before, after in pairwise(timeline))
    assert store.history.spec_json(JOB) == "{}"
    assert store.history.requests(JOB) == []
    assert store.history.save_request(JOB, "late") is True


def test_a_move_is_never_taken_for_the_spec_of_a_job_whose_history_was_lost(
    store: Store, lives: Lives, client: redis.Redis
) -> None:
    lives.submitted()
    client.delete(f"callsheet:{{0}}:history:{JOB}")

    store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll")

    assert store.history.spec_json(JOB) is None
    assert store.history.save_request(JOB, "request") is False


def test_a_refusal_ends_the_job_and_forgets_what_only_callbacks_said(store: Store, lives: Lives) -> None:
    lives.submitting()
    lives.called(request_id="forged")

    store.jobs.move(JOB, S.FAILED, attempt=1, path="submit", error=REFUSED)

    assert store.callbacks.candidates(JOB) == {}
    assert not lives.closed(lives.job()).is_open
