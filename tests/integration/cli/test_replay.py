"""`callsheet replay`: stored callbacks and strays, looked at again."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import Lives, Run, is_one_clear_line
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.store import Store

BODY = {
    "id": "r-j1", "model": "kling-v3-turbo-image-to-video", "status": "completed",
    "results": ["https://cdn.example.com/v.mp4"],
}  # fmt: skip


def called(store: Store, status: str, *, terminal: bool = True, attempt: int = 1) -> None:
    kind = EventKind.GENERATED if terminal else EventKind.PENDING
    event = ProviderEvent("r-j1", kind, status)
    store.callbacks.arrive(
        "j1",
        attempt=attempt,
        request_id="r-j1",
        fingerprint=status,
        is_terminal=terminal,
        event_json=event_json.dump(event),
    )


def keep_stray(store: Store, **changed: object) -> None:
    stray = {"provider": "evolink", "job_id": "j1", "attempt": 1, "reason": "missing", "at": 1_795_000_000_000}
    store.callbacks.keep_stray({**stray, "body": json.dumps(BODY), **changed})


def test_the_latest_end_is_looked_at_again(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    called(store, "completed")
    lives.progress("j1", 10)
    assert (store.due.at("j1") or 0) > store.clock.now()

    done = callsheet("replay", "j1")

    assert (done.returncode, done.stdout) == (0, "j1 is due now and looks at what r-j1 is said to be\n")
    assert (store.due.at("j1") or 0) <= store.clock.now()


def test_the_callbacks_kept_are_listed_and_chosen_by_number(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    for word in ("completed", "failed"):
        called(store, word)

    listed = [json.loads(line) for line in callsheet("replay", "j1", "--list", "--json").stdout.splitlines()]
    done = callsheet("replay", "j1", "--event", "1", "--json")

    assert [(row["n"], row["says"]) for row in listed] == [(1, "completed"), (2, "failed")]
    assert json.loads(done.stdout)["outcome"] == "replayed"


def test_a_callback_of_another_attempt_can_change_nothing(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    called(store, "completed", attempt=2)

    done = callsheet("replay", "j1")

    assert is_one_clear_line(done, 3)
    assert "a callback of attempt 2 can change nothing: j1 is submitted in its attempt 1" in done.stderr


def test_an_archived_job_is_not_looked_at_again(callsheet: Run, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    called(store, "completed")
    lives.close(lives.archive("j1"))

    assert is_one_clear_line(callsheet("replay", "j1"), 3)
    assert store.due.at("j1") is None


def test_a_stray_finds_its_job_once_there_is_one(callsheet: Run, store: Store, lives: Lives) -> None:
    keep_stray(store)
    before = callsheet("replay", "--stray", "1")
    lives.accept("j1")

    done = callsheet("replay", "--stray", "1")

    assert is_one_clear_line(before, 3)
    assert "there is still no record of its job: callsheet restore" in before.stderr
    assert done.stdout == "stray 1, for j1: it was kept before\n"  # with the job, which is led to its request
    assert len(store.callbacks.events("j1")) == 1
    assert len(store.callbacks.candidates("j1")) == 1


def test_a_stray_that_is_no_callback_is_one_clear_line(callsheet: Run, store: Store) -> None:
    keep_stray(store, body="<html>", reason="unreadable")

    assert is_one_clear_line(callsheet("replay", "--stray", "1"), 1)


def test_strays_are_listed(callsheet: Run, store: Store) -> None:
    keep_stray(store)

    done = callsheet("replay", "--list")

    assert "evolink   j1" in done.stdout
    assert "missing" in done.stdout
    assert "cdn.example.com" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "give a JOB, or --stray N, or --list"),
        (("j1", "--stray", "1"), 2, "give a JOB, or --stray N"),
        (("--event", "1", "--list"), 2, "--event needs a JOB"),
        (("nobody",), 1, "there is no job nobody"),
        (("--stray", "7"), 1, "there are 0 strays"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], status: int, words: str, callsheet: Run) -> None:
    done = callsheet("replay", *arguments)

    assert is_one_clear_line(done, status)
    assert words in done.stderr


def test_a_job_without_callbacks_says_so(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")

    assert is_one_clear_line(callsheet("replay", "j1"), 1)
    assert is_one_clear_line(callsheet("replay", "j1", "--event", "1"), 1)
