"""`callsheet list --stuck` and `callsheet watch`."""

from __future__ import annotations

import json
import signal

import pytest

from tests.integration.cli.conftest import Lives, Run, Start, is_one_clear_line
from worker.jobs.job import JobError
from worker.jobs.states import JobState
from worker.store import Store


def unconfirmed(store: Store, lives: Lives, job_id: str) -> None:
    lives.accept(job_id)
    claim = store.due.claim(job_id, states=(JobState.ACCEPTED,), lease_ms=60_000)
    assert claim is not None
    store.attempts.begin(claim)
    store.jobs.move(job_id, JobState.UNCONFIRMED, attempt=1, path="submit", due_in_ms=60_000)


def test_stuck_jobs_are_listed_with_their_reasons_and_others_are_not(
    callsheet: Run, store: Store, lives: Lives
) -> None:
    lives.accept("well")
    lives.submit("well")
    unconfirmed(store, lives, "unsure")
    lives.accept("lost")
    lives.submit("lost")
    store.scripts.client.zrem("callsheet:{0}:due", "lost")

    done = callsheet("list", "--stuck")

    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["job", "lost", "unsure"]
    assert "in no due index: callsheet doctor --fix" in lines[1]
    assert "its POST may have been taken" in lines[2]
    assert "settled by" in lines[2]


def test_the_json_of_a_stuck_job_has_the_reason(callsheet: Run, store: Store, lives: Lives) -> None:
    unconfirmed(store, lives, "unsure")
    lives.accept("well")
    lives.submit("well")

    listed = [json.loads(line) for line in callsheet("list", "--json").stdout.splitlines()]

    stuck = {row["job_id"]: row["stuck"] for row in listed}
    assert stuck["well"] is None
    assert "may have been taken" in stuck["unsure"]


@pytest.mark.usefixtures("living")
def test_nothing_stuck_is_said_on_stderr(callsheet: Run) -> None:
    done = callsheet("list", "--stuck")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no job is stuck\n")


def test_closed_jobs_cannot_be_stuck(callsheet: Run) -> None:
    assert is_one_clear_line(callsheet("list", "--stuck", "--closed"), 2)


def test_watching_ends_when_all_jobs_have(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.close(lives.archive("j1"))
    lives.accept("j2")
    lives.fail("j2", JobError("submit", "refused", "no"))

    done = callsheet("watch", "j1", "j2", "j1")

    assert (done.returncode, done.stdout) == (0, "j1  archived at evolink\nj2  failed(submit) at evolink\n")


def test_a_watched_job_gets_a_line_for_each_change(start_callsheet: Start, lives: Lives) -> None:
    lives.accept("j1")
    process = start_callsheet("watch", "j1", "--json")
    assert process.stdout is not None

    first = json.loads(process.stdout.readline())
    lives.submit("j1")
    second = json.loads(process.stdout.readline())
    lives.archive("j1")
    third = json.loads(process.stdout.readline())

    assert [said["state"] for said in (first, second, third)] == ["accepted", "submitted", "archived"]
    assert process.wait(timeout=20) == 0


def test_everything_is_watched_until_ctrl_c(start_callsheet: Start, lives: Lives) -> None:
    lives.accept("j1")
    process = start_callsheet("watch")
    assert process.stdout is not None

    assert process.stdout.readline().split() == ["accepted", "1", "open"]
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 130
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_watching_a_job_that_is_not_there_is_one_clear_line(callsheet: Run) -> None:
    assert is_one_clear_line(callsheet("watch", "nobody"), 1)
    assert is_one_clear_line(callsheet("watch", "../x"), 1)
