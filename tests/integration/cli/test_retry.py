"""`callsheet retry`: what goes on, what it costs, and what is never paid twice unasked."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import Lives, Run, is_one_clear_line
from worker.jobs.job import Job, JobError
from worker.jobs.states import JobState
from worker.store import Fields, Store

REFUSED = JobError("submit", "refused", "no")
FAILED = JobError("generate", "nsfw", "no")
COST: Fields = {"cost": json.dumps({"amount": "0.56", "currency": "USD", "basis": "list"})}


def priced(store: Store, lives: Lives) -> Job:
    store.jobs.accept("j1", spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m", facts=COST)
    return lives.submit("j1")


def state_of(store: Store) -> JobState:
    job = store.jobs.get("j1")
    assert job is not None
    return job.state


def test_a_refused_job_gets_a_new_attempt_and_its_price_is_told(callsheet: Run, store: Store, lives: Lives) -> None:
    store.jobs.accept("j1", spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m", facts=COST)
    lives.fail("j1", REFUSED)

    done = callsheet("retry", "j1")

    assert (done.returncode, done.stderr) == (0, "")
    assert "attempt 2 will be submitted to evolink, 0.56 USD by the list price" in done.stdout
    assert "attempt 1 ended as failed(submit): not paid for" in done.stdout
    assert state_of(store) is JobState.ACCEPTED


def test_what_may_be_paid_for_needs_leave_and_the_words_say_how(callsheet: Run, store: Store, lives: Lives) -> None:
    priced(store, lives)
    lives.fail("j1", FAILED)

    refused = callsheet("retry", "j1")
    done = callsheet("retry", "j1", "--pay-again", "--json")

    assert is_one_clear_line(refused, 3)
    assert "attempt 1 ended as failed(generate): evolink took it as r-j1" in refused.stderr
    assert "costs 0.56 USD by the list price once more: callsheet retry j1 --pay-again" in refused.stderr
    document = json.loads(done.stdout)
    assert (document["outcome"], document["attempt"], document["state"]) == ("new_attempt", 2, "accepted")
    assert document["paid"] == ["attempt 1 ended as failed(generate): evolink took it as r-j1"]


def test_an_expired_job_is_asked_about_again_for_nothing(callsheet: Run, store: Store, lives: Lives) -> None:
    priced(store, lives)
    store.jobs.move("j1", JobState.EXPIRED, attempt=1, path="sweep")

    done = callsheet("retry", "j1")

    assert done.stdout == "j1 goes on: evolink is asked about r-j1 again; nothing is paid for that\n"
    assert state_of(store) is JobState.SUBMITTED


def test_a_failed_archive_is_archived_again_for_nothing(callsheet: Run, store: Store, lives: Lives) -> None:
    priced(store, lives)
    store.jobs.move("j1", JobState.GENERATED, attempt=1, path="poll")
    store.jobs.move("j1", JobState.FAILED, attempt=1, path="sweep", error=JobError("archive", "dead", "gone"))

    done = callsheet("retry", "j1")

    assert "its video is archived again, with fresh links of evolink; nothing is paid" in done.stdout
    assert state_of(store) is JobState.GENERATED


def test_a_callback_is_looked_at_before_anything_is_paid_again(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    claim = store.due.claim("j1", states=(JobState.ACCEPTED,), lease_ms=60_000)
    assert claim is not None
    store.attempts.begin(claim)
    store.jobs.move("j1", JobState.UNCONFIRMED, attempt=1, path="submit")
    store.jobs.move("j1", JobState.FAILED, attempt=1, path="sweep", error=JobError("confirm", "outcome_unknown", "?"))
    store.callbacks.arrive("j1", attempt=1, request_id="r-x", fingerprint="f", is_terminal=True, event_json="{}")

    done = callsheet("retry", "j1", "--pay-again")

    assert is_one_clear_line(done, 3)
    assert "a callback for j1 is yet to be looked at" in done.stderr


def test_what_has_not_ended_without_a_video_is_left_alone(callsheet: Run, store: Store, lives: Lives) -> None:
    priced(store, lives)
    waiting = callsheet("retry", "j1", "--pay-again")
    lives.archive("j1")
    archived = callsheet("retry", "j1", "--pay-again")

    assert is_one_clear_line(waiting, 3)
    assert "j1 has not ended: it is submitted" in waiting.stderr
    assert is_one_clear_line(archived, 3)
    assert "j1 has its video already" in archived.stderr


def test_a_tombstone_is_nothing_to_go_on_from(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.fail("j1", REFUSED)
    store.scripts.client.delete("callsheet:{0}:job:j1")

    done = callsheet("retry", "j1")

    assert is_one_clear_line(done, 1)
    assert "only the tombstone of j1 is left" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nobody",), 1, "there is no job nobody"),
        (("../x",), 1, "a job id is 1 to 64"),
        ((), 2, "give a JOB, or --where"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], status: int, words: str, callsheet: Run) -> None:
    done = callsheet("retry", *arguments)

    assert is_one_clear_line(done, status)
    assert words in done.stderr
