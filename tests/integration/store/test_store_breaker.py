"""A provider's circuit breaker: it opens on what tells of the provider, and only a probe closes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.store.asking import FREE, POLL, SECOND, SUBMIT
from tests.integration.store.conftest import JOB, MINUTE, Clock
from worker.jobs.rate_limits import Operation
from worker.store import Store


def test_one_lock_out_opens_the_breaker_and_one_probe_in_ten_seconds_is_let_through(store: Store, clock: Clock) -> None:
    assert store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out", why="http_401") == (False, True)
    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted
    assert store.limits.ask(FREE, POLL, prober=JOB).is_granted

    probes = []
    for _ in range(35):
        clock.advance(SECOND)
        probes.append([store.limits.ask(FREE, SUBMIT, prober=f"job-{n}").is_probe for n in range(3)])

    assert sum(probe for second in probes for probe in second) == 3
    assert store.limits.standing(FREE).submit.open_why == "http_401"


def test_only_the_probe_closes_the_breaker(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, SUBMIT, prober="probe").is_probe

    assert store.limits.report(FREE, SUBMIT, prober="an older request", outcome="answered") == (False, False)
    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted
    assert store.limits.report(FREE, SUBMIT, prober="probe", outcome="answered") == (True, False)
    assert store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_a_probe_whose_worker_dies_is_followed_by_another(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, SUBMIT, prober="dies").is_probe
    clock.advance(10 * SECOND)

    assert store.limits.ask(FREE, SUBMIT, prober="next").is_probe


@pytest.mark.parametrize("op", [SUBMIT, POLL])
@pytest.mark.parametrize("job_id", ["slow", "12345"])
def test_any_probe_that_is_answered_well_closes_the_breaker(
    store: Store, clock: Clock, op: Operation, job_id: str
) -> None:
    """Answers take longer than the 10 s between two probes."""
    store.limits.report(FREE, op, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    assert store.limits.ask(FREE, op, prober=job_id).is_probe
    for n in range(3):
        clock.advance(10 * SECOND)
        assert store.limits.ask(FREE, op, prober=f"later-{n}").is_probe
    store.limits.report(FREE, op, prober="later-0", outcome="failed")

    assert store.limits.report(FREE, op, prober=job_id, outcome="answered") == (True, False)

    assert store.limits.ask(FREE, op, prober=JOB).is_granted
    assert store.limits.standing(FREE).submit.calls + store.limits.standing(FREE).poll.calls == 5


def test_a_probe_of_an_earlier_breaker_does_not_close_the_next(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(10 * SECOND)
    store.limits.ask(FREE, SUBMIT, prober="old")
    clock.advance(10 * SECOND)
    store.limits.ask(FREE, SUBMIT, prober="new")
    store.limits.report(FREE, SUBMIT, prober="new", outcome="answered")
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")

    assert store.limits.report(FREE, SUBMIT, prober="old", outcome="answered") == (False, False)

    assert not store.limits.ask(FREE, SUBMIT, prober=JOB).is_granted


def test_probes_nobody_reports_are_forgotten(store: Store, clock: Clock) -> None:
    store.limits.report(FREE, SUBMIT, prober=JOB, outcome="locked_out")
    for n in range(300):
        clock.advance(10 * SECOND)
        assert store.limits.ask(FREE, SUBMIT, prober=f"dies-{n}").is_probe

    held = map(str, store.scripts.client.hkeys(store.scripts.keys.limits(0, "evolink")))
    assert sum(name.startswith("probe:") for name in held) <= 91


@pytest.mark.parametrize(("calls", "failures", "opens"), [(19, 19, False), (20, 9, False), (20, 10, True)])
def test_the_breaker_opens_when_half_of_twenty_calls_in_a_minute_fail(
    store: Store, calls: int, failures: int, opens: bool
) -> None:
    for n in range(calls):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")

    told = [
        store.limits.report(FREE, POLL, prober=f"job-{n}", outcome="failed", why="http_500")[1] for n in range(failures)
    ]

    assert any(told) == opens
    assert (not store.limits.ask(FREE, POLL, prober=JOB).is_granted) == opens


def test_failures_of_more_than_a_minute_ago_open_nothing(store: Store, clock: Clock) -> None:
    for n in range(40):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")
        if n < 9:
            store.limits.report(FREE, POLL, prober=f"job-{n}", outcome="failed")
    clock.advance(MINUTE + 2 * SECOND)
    for n in range(20):
        store.limits.ask(FREE, POLL, prober=f"job-{n}")

    assert store.limits.report(FREE, POLL, prober=JOB, outcome="failed") == (False, False)


def test_a_clock_that_is_set_back_an_hour_locks_nobody_out(store: Store, clock: Clock) -> None:
    limits = replace(FREE, per_minute=2)
    for _ in range(2):
        store.limits.ask(limits, POLL, prober=JOB)
    store.limits.report(limits, SUBMIT, prober=JOB, outcome="locked_out")
    clock.advance(-2 * 60 * MINUTE)

    assert store.limits.ask(limits, POLL, prober=JOB).is_granted
    assert store.limits.ask(limits, SUBMIT, prober=JOB).is_probe
