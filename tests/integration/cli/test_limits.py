"""The providers' limits in `show`, `list` and `doctor`."""

from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import Lives, Run
from worker.jobs.rate_limits import Limits, Operation, Place
from worker.jobs.states import JobState
from worker.store import Store

LIMITS = {"EVOLINK_MAX_CONCURRENT": "1", "EVOLINK_REQUESTS_PER_MINUTE": "60", "CALLSHEET_DAILY_BUDGET": "25.5"}
EVOLINK = Limits("evolink", 1, 60)


@pytest.fixture
def waiting(store: Store, lives: Lives) -> str:
    """A job that waits for room at EvoLink, which has another one."""
    lives.accept("j1", "evolink")
    lives.submit("j1")
    lives.accept("j2", "evolink")
    claim = store.due.claim("j2", states=(JobState.ACCEPTED,), lease_ms=60_000)
    assert claim is not None
    assert store.attempts.begin(claim, limits=EVOLINK).word == "busy"
    store.due.rest(claim, due_in_ms=60_000, notes={"waiting_for": "room"}, waits=Place(Operation.SUBMIT, 1))
    return "j2"


def test_a_job_in_line_is_shown_with_how_its_provider_stands(callsheet: Run, waiting: str) -> None:
    shown = callsheet("show", waiting, env=LIMITS).stdout

    assert "room; called when it is its turn; given up as failed(submit) in" in shown
    assert "evolink  it has 1 of 1 jobs; 0 POSTs and 0 GETs in the last minute of 60; waiting to be sent: 1" in shown
    assert "POSTs to evolink wait for room at evolink" in shown


def test_the_same_for_a_program(callsheet: Run, waiting: str) -> None:
    limits = json.loads(callsheet("show", waiting, "--json", env=LIMITS).stdout)["limits"]

    assert (limits["occupied"], limits["max_concurrent"], limits["daily_budget"]) == (1, 1, "25.5")
    assert limits["submit"]["held_back_by"] == "concurrency"
    assert limits["submit"]["waiting"] == 1
    assert limits["poll"]["held_back_by"] is None


def test_a_list_ends_with_what_holds_jobs_back(callsheet: Run, waiting: str) -> None:
    done = callsheet("list", env=LIMITS)

    assert waiting in done.stdout
    assert done.stderr.startswith("POSTs to evolink wait for room at evolink: it has 1 jobs")


def test_without_limits_nothing_is_said_of_them(callsheet: Run, lives: Lives) -> None:
    lives.accept("j1", "evolink")

    assert callsheet("list").stderr == ""


def test_the_doctor_tells_how_much_of_each_limit_and_of_the_budget_is_in_use(callsheet: Run, waiting: str) -> None:
    printed = callsheet("doctor", env=LIMITS).stdout

    assert "evolink limits  it has 1 of 1 jobs" in printed
    assert "0 of 25.5 USD are spent or reserved today (UTC)" in printed


def test_the_doctor_warns_of_an_open_breaker(callsheet: Run, store: Store) -> None:
    store.limits.report(EVOLINK, Operation.SUBMIT, prober="j1", outcome="locked_out", why="http_401")

    printed = callsheet("doctor").stdout

    (line,) = [line for line in printed.splitlines() if "breaker is open" in line]
    assert line.startswith("warn  evolink limits")
    assert "(http_401), one is let through every 10 s" in line
