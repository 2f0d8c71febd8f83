"""`callsheet cancel`: every honest outcome, in words and as an exit status."""

from __future__ import annotations

import json
import socket

import pytest

from tests.integration.cli.conftest import Lives, Run, is_one_clear_line
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.store import Fields, Store


def test_a_job_that_nobody_heard_of_is_cancelled(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")

    done = callsheet("cancel", "j1")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "j1 is cancelled: no provider heard of it, nothing was paid\n"
    job = store.jobs.get("j1")
    assert job is not None
    assert (job.state, job.path, store.due.at("j1") is not None) == (JobState.CANCELLED, "operator", True)


def test_cancelling_twice_says_so_and_is_no_error(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")
    callsheet("cancel", "j1")

    done = callsheet("cancel", "j1")

    assert (done.returncode, done.stdout) == (0, "j1 was cancelled before; nothing was paid\n")


def test_too_late_names_who_has_it_and_that_the_cost_stands(callsheet: Run, store: Store, lives: Lives) -> None:
    cost: Fields = {"cost": json.dumps({"amount": "0.56", "currency": "USD", "basis": "list"})}
    store.jobs.accept("j1", spec_json="{}", spec_sha256="0" * 64, provider="evolink", model="m", facts=cost)
    lives.submit("j1")

    done = callsheet("cancel", "j1")

    assert is_one_clear_line(done, 3)
    assert "evolink has j1 as r-j1, its cost stands (0.56 USD by the list price)" in done.stderr
    assert store.jobs.get("j1").state is JobState.SUBMITTED  # type: ignore[union-attr]


def test_a_post_in_flight_is_too_late(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    claim = store.due.claim("j1", states=(JobState.ACCEPTED,), lease_ms=60_000)
    assert claim is not None
    store.attempts.begin(claim)

    done = callsheet("cancel", "j1")

    assert is_one_clear_line(done, 3)
    assert "j1 is submitting: evolink may have it" in done.stderr


def test_a_callback_for_a_post_not_on_record_makes_it_too_late(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    store.callbacks.arrive("j1", attempt=1, request_id="r-x", fingerprint="f", is_terminal=True, event_json="{}")

    done = callsheet("cancel", "j1")

    assert is_one_clear_line(done, 3)
    assert store.jobs.get("j1").state is JobState.ACCEPTED  # type: ignore[union-attr]
    assert list(store.callbacks.candidates("j1")) == ["r-x"]


def test_a_second_attempt_that_waits_is_cancelled_and_the_cost_of_the_first_is_named(
    callsheet: Run, store: Store, lives: Lives
) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.fail("j1", JobError("generate", "nsfw", "no"))
    store.attempts.try_again("j1", attempt=1, pay_again=True)

    done = callsheet("cancel", "j1")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("attempt 2 of j1 is cancelled: no provider heard of it")
    assert "an earlier attempt was handed to" in done.stdout


def test_while_s3_is_away_it_says_that_nobody_can_tell(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        away = f"http://127.0.0.1:{closed.getsockname()[1]}"

    done = callsheet("cancel", "j1", env={"AWS_ENDPOINT_URL_S3": away})

    assert is_one_clear_line(done, 3)
    assert "j1 is not cancelled: S3 does not answer" in done.stderr
    assert "callsheet cancel j1 again" in done.stderr
    assert store.jobs.get("j1").state is JobState.ACCEPTED  # type: ignore[union-attr]


def test_a_job_that_has_ended_is_not_cancelled(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")
    lives.fail("j1", JobError("submit", "refused", "no"))

    done = callsheet("cancel", "j1", "--json")

    assert (done.returncode, done.stderr) == (4, "")
    told = json.loads(done.stdout)
    assert (told["job_id"], told["outcome"], told["done"]) == ("j1", "final", False)
    assert told["words"] == "j1 has ended already: it is failed"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("nobody",), 1, "there is no job nobody"),
        (("../etc",), 1, "a job id is 1 to 64"),
        ((), 2, "give a JOB, or --where"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(
    arguments: tuple[str, ...], status: int, words: str, callsheet: Run
) -> None:
    done = callsheet("cancel", *arguments)

    assert is_one_clear_line(done, status)
    assert words in done.stderr
