"""Rows S: submit. Whatever befalls it, one request is paid for, and it is not forgotten."""

from __future__ import annotations

import random

import pytest

from tests.chaos import operations as do
from tests.chaos.rig import KILL, KILL_CHILD, freeze
from tests.chaos.system import System
from worker.steps import Step

pytestmark = pytest.mark.timeout(240)

LISTS, CALLS = "gmicloud", "evolink"  # how an unconfirmed request is found: by the provider's list, by its callback


def either(seed: int) -> str:
    return random.Random(seed).choice([LISTS, CALLS])


def test_s1_a_kill_between_claim_and_intent_is_made_good_after_the_lease(system: System, seed: int) -> None:
    job_id = system.record(either(seed))
    system.rig.arm("after store.due.claim.accepted", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert system.rig.sprung(job_id) == ["after store.due.claim.accepted"]
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize("provider", [LISTS, CALLS])
def test_s2_a_kill_between_intent_and_post_is_made_good_by_one_post(system: System, provider: str) -> None:
    job_id = system.record(provider)
    system.rig.arm("after store.attempts.begin", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert len(system.posts(job_id)) == 1


def test_s2_a_kill_once_the_bucket_was_told_is_told_as_unknown_and_nothing_is_paid(system: System, seed: int) -> None:
    job_id = system.record(either(seed))
    system.rig.arm("after bucket.intents.begin", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    job = system.settled(job_id)
    assert (job.error.stage, job.error.code) == ("confirm", "outcome_unknown") if job.error else False
    assert system.posts(job_id) == []


@pytest.mark.parametrize("provider", [LISTS, CALLS])
def test_s3_a_kill_while_the_provider_works_on_the_post_pays_once(system: System, provider: str) -> None:
    job_id = system.start_job(provider, {"on": "submit", "slow_seconds": 3})
    system.wait(lambda: system.posts(job_id), "the POST")

    do.kill(system, "worker")

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" in system.moves(job_id)
    assert len(system.posts(job_id)) == 1


@pytest.mark.subset
@pytest.mark.parametrize("provider", [LISTS, CALLS])
def test_s4_a_kill_between_answer_and_record_pays_once(system: System, provider: str) -> None:
    job_id = system.record(provider)
    system.rig.arm("after provider.submit", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" in system.moves(job_id)
    assert len(system.posts(job_id)) == 1


def test_s4_where_neither_list_nor_callback_can_tell_the_end_is_an_honest_unknown(system: System) -> None:
    job_id = system.record("apimart")
    system.rig.arm("after provider.submit", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    job = system.settled(job_id)
    assert job.error is not None
    assert job.error.code == "outcome_unknown"
    assert len(system.posts(job_id)) == 1


def test_s5_a_kill_after_the_record_changes_nothing(system: System, seed: int) -> None:
    job_id = system.record(either(seed))
    system.rig.arm("after store.attempts.bind", job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])
    system.sprung(job_id, "after store.attempts.bind")
    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize("how", ["refused", "reset", "no-tls"])
def test_s6_a_provider_that_cannot_be_reached_is_tried_again_and_paid_once(system: System, how: str) -> None:
    with do.provider_unreachable(system, "evolink", how):
        job_id = system.start_job("evolink")
        system.wait(lambda: system.job(job_id).try_no >= 2, "a second try")
        assert system.posts(job_id) == []

    assert system.settled(job_id).state == "archived"
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize("provider", [LISTS, CALLS])
def test_s8_half_an_answer_pays_once(system: System, provider: str) -> None:
    job_id = system.start_job(provider, {"on": "submit", "half": True})

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" in system.moves(job_id)
    assert len(system.posts(job_id)) == 1


def test_s9_a_429_is_waited_out_as_long_as_it_says(system: System, seed: int) -> None:
    job_id = system.start_job(either(seed), {"on": "submit", "status": 429, "retry_after": 7})

    assert system.settled(job_id).state == "archived"
    first, second = (post["at"] for post in system.posts(job_id))
    assert second - first >= 7


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_s10_a_server_error_is_never_answered_by_a_second_post(system: System, status: int, seed: int) -> None:
    job_id = system.start_job(either(seed + status), {"on": "submit", "status": status, "created": True})

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" in system.moves(job_id)
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize("answer", [{"html": True, "status": 200}, {"body": {}}, {"body": {"id": None}}])
def test_s11_a_success_that_cannot_be_read_is_unconfirmed(system: System, answer: dict[str, object], seed: int) -> None:
    job_id = system.start_job(either(seed), {"on": "submit", "created": True, **answer})

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" in system.moves(job_id)
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize("status", [400, 422])
def test_s13_a_refusal_fails_the_job_and_is_told(system: System, status: int) -> None:
    job_id = system.start_job("evolink", {"on": "submit", "status": status})

    job = system.settled(job_id)
    assert job.error is not None
    assert job.error.stage == "submit"
    assert system.told(job_id)["status"] == "FAILURE"
    assert len(system.posts(job_id)) == 1


@pytest.mark.parametrize(
    "point",
    [
        "after store.attempts.begin",
        "after provider.submit",
        pytest.param("before store.attempts.bind", marks=pytest.mark.subset),
    ],
)
def test_s14_a_worker_paused_past_its_lease_while_another_takes_over_pays_once(system: System, point: str) -> None:
    job_id = system.record(CALLS)
    system.rig.arm(point, job_id, freeze(9))

    system.nudge(Step.SUBMIT, [job_id])
    system.sprung(job_id, point)
    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert len(system.created(job_id)) == 1


@pytest.mark.subset
def test_s15_ten_deliveries_at_once_begin_one_post(system: System, seed: int) -> None:
    job_id = system.record(either(seed))

    for _ in range(10):
        system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert system.moves(job_id).count("submitting") == 1
    assert len(system.posts(job_id)) == 1


def test_s17_a_child_that_is_killed_again_and_again_makes_no_hot_loop(system: System, seed: int) -> None:
    """The cell wants a cap on tries: ours is the submit deadline, and leases set the pace."""
    job_id = system.record(either(seed))
    system.rig.arm("after store.due.claim.accepted", job_id, KILL_CHILD, times=3)

    for _ in range(20):
        system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert len(system.rig.sprung(job_id)) == 3
    assert len(system.posts(job_id)) == 1


def test_s18_a_worker_told_to_end_in_the_middle_of_a_post_records_it_first(system: System) -> None:
    job_id = system.start_job("apimart", {"on": "submit", "slow_seconds": 2})
    system.wait(lambda: system.posts(job_id), "the POST")

    do.end_in_order(system, "worker")

    assert system.settled(job_id).state == "archived"
    assert "unconfirmed" not in system.moves(job_id)
    assert len(system.posts(job_id)) == 1
