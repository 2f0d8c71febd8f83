"""Races: many clients at one instant, one winner."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.store.conftest import ANY_STATE, LEASE, LINK_DEAD, MINUTE, RETENTION, Lives
from worker.jobs.states import JobState
from worker.store import Claim, Store, connect

S = JobState
CLIENTS = 8
ROUNDS = 10
AtOnce = Callable[..., list[Any]]


@pytest.fixture
def stores(redis_url: str) -> Iterator[list[Store]]:
    """Clients of their own, as so many processes have."""
    clients = [connect(redis_url) for _ in range(CLIENTS)]
    yield [Store(client, retention_ms=RETENTION) for client in clients]
    for client in clients:
        client.close()


@pytest.fixture
def at_once(stores: list[Store]) -> Iterator[AtOnce]:
    """Runs `act(store, n, *args)` once per client, all at the same instant."""
    for store in stores:
        store.server.ping()
    with ThreadPoolExecutor(CLIENTS) as pool:

        def run(act: Callable[..., Any], *args: object) -> list[Any]:
            barrier = threading.Barrier(CLIENTS)

            def one(n: int) -> Any:
                barrier.wait(timeout=10)
                return act(stores[n], n, *args)

            return list(pool.map(one, range(CLIENTS)))

        yield run


@pytest.fixture
def real(stores: list[Store]) -> Iterator[Lives]:
    """Jobs by the server's own time."""
    yield Lives(stores[0])
    assert stores[0].audit.breaches() == []


def _words(counted: list[str]) -> Counter[str]:
    return Counter(counted)


def test_the_same_job_sent_by_many_at_once_is_one_job(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        words = at_once(lambda store, _, job_id: Lives(store).accepted(job_id).word, f"job-{n}")

        assert _words(words) == {"applied": 1, "repeat": CLIENTS - 1}


def test_one_of_many_claims_wins(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        real.accepted(f"job-{n}")

        won = at_once(
            lambda store, _, job_id: bool(store.due.claim(job_id, states=ANY_STATE, lease_ms=LEASE)), f"job-{n}"
        )

        assert sum(won) == 1


def test_one_post_begins_however_many_redeliveries_run_at_once(real: Lives, at_once: AtOnce) -> None:
    def submit(store: Store, _: int, job_id: str) -> bool:
        claim = store.due.claim(job_id, states=ANY_STATE, lease_ms=LEASE)
        return claim is not None and store.attempts.begin(claim).applied

    for n in range(ROUNDS):
        real.accepted(f"job-{n}")

        begun = at_once(submit, f"job-{n}")

        assert sum(begun) == 1
        assert real.job(f"job-{n}").try_no == 1


def test_concurrent_deliveries_of_one_callback_are_stored_once(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        real.submitted(f"job-{n}", f"r{n}")

        words = at_once(lambda store, _, n: Lives(store).called(f"job-{n}", f"r{n}").word, n)

        assert _words(words) == {"stored": 1, "repeat": CLIENTS - 1}
        assert len(real.store.callbacks.events(f"job-{n}")) == 1


def test_a_callback_and_the_submit_answer_at_once_lose_nothing(real: Lives, at_once: AtOnce) -> None:
    def act(store: Store, n: int, job_id: str) -> str:
        lives = Lives(store)
        return lives.bound(job_id, job_id).word if n % 2 else lives.called(job_id, job_id).word

    for n in range(ROUNDS):
        real.submitting(f"job-{n}")

        at_once(act, f"job-{n}")

        assert real.job(f"job-{n}").state is S.SUBMITTED
        assert real.store.callbacks.candidates(f"job-{n}") == {}
        assert f"job-{n}" in real.store.due.ids(100)


def test_cancel_and_submit_at_once_have_one_winner(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        real.accepted(f"job-{n}")
        claim = real.claimed(f"job-{n}")

        def act(store: Store, k: int, claim: Claim) -> str:
            if k % 2:
                return f"begin {store.attempts.begin(claim).word}"
            return f"cancel {store.jobs.move(claim.job.id, S.CANCELLED, attempt=1, path='operator').word}"

        words = _words(at_once(act, claim))

        assert words["begin applied"] + words["cancel applied"] == 1


def test_one_of_many_jobs_gets_a_request_id(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        for k in range(CLIENTS):
            real.submitting(f"job-{n}-{k}")

        words = at_once(lambda store, k, n: Lives(store).bound(f"job-{n}-{k}", f"r{n}").word, n)

        assert _words(words) == {"applied": 1, "taken": CLIENTS - 1}


def test_one_of_many_archivers_moves_the_job(real: Lives, at_once: AtOnce) -> None:
    for n in range(ROUNDS):
        real.submitted(f"job-{n}", f"r{n}")
        real.store.jobs.move(f"job-{n}", S.GENERATED, attempt=1, path="poll")

        words = at_once(lambda store, _, job_id: Lives(store).store_archived(job_id).word, f"job-{n}")

        assert _words(words) == {"applied": 1, "repeat": CLIENTS - 1}
        assert [entry.target for entry in real.store.history.timeline(f"job-{n}")].count("archived") == 1


def test_many_sweeps_nudge_each_due_job_once(real: Lives, at_once: AtOnce) -> None:
    ids = [f"job-{n}" for n in range(200)]
    for job_id in ids:
        real.accepted(job_id)

    nudged = at_once(lambda store, _: [nudge.job_id for nudge in store.due.nudge(store.due.ids(500))])

    assert sorted(job_id for batch in nudged for job_id in batch) == sorted(ids)


def test_settling_and_late_truth_at_once_leave_the_newer_result_owed_or_told(real: Lives, at_once: AtOnce) -> None:
    def act(store: Store, k: int, job_id: str, ver: int) -> str:
        if k == 0:
            return Lives(store).store_archived(job_id).word
        return store.jobs.delivered(job_id, ver=ver, outputs="result", rest_in_ms=MINUTE).word

    for n in range(ROUNDS):
        real.submitted(f"job-{n}", f"r{n}")
        real.store.jobs.move(f"job-{n}", S.GENERATED, attempt=1, path="poll")
        failed = real.store.jobs.move(f"job-{n}", S.FAILED, attempt=1, path="sweep", error=LINK_DEAD).job
        assert failed is not None

        words = at_once(act, f"job-{n}", failed.ver)

        job = real.job(f"job-{n}")
        assert words[0] == "applied"
        assert (job.state, job.is_open) == (S.ARCHIVED, True)
        assert job.told_ver < job.ver
