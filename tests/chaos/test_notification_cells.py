"""Rows N: notifications. Whatever befalls one, it is told at least once, under one id, and holds up nobody."""

from __future__ import annotations

import threading

import pytest

from tests.chaos import operations as do
from tests.chaos.rig import KILL
from tests.chaos.system import System
from tests.integration.notifications.receiver import Answer
from worker.steps import Step

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("point", ["before store.notifications.notified", "after store.notifications.notified"])
def test_n1_a_kill_once_it_was_sent_tells_it_at_least_once_under_one_id(system: System, point: str) -> None:
    job_id = system.record("evolink", notify_url=system.notified.url())
    system.rig.arm(point, job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    job = system.settled(job_id)
    assert job.state == "archived"
    assert system.rig.sprung(job_id) == [point]
    received = system.notifications(job_id)
    assert len(received) == (2 if point.startswith("before") else 1)
    assert {one.webhook_id for one in received} == {f"{job_id}.{job.ver}"}
    assert {one.verified()["data"]["ver"] for one in received} == {job.ver}


def test_n1_a_worker_that_is_stopped_ends_what_it_tells(system: System) -> None:
    slow = Answer(before=lambda: threading.Event().wait(2))
    system.notified.by_path["/slow"] = slow
    job_id = system.record("evolink", notify_url=system.notified.url("/slow"))
    system.nudge(Step.SUBMIT, [job_id])
    system.wait(lambda: system.notifications(job_id), "the notification")

    do.end_in_order(system, "worker")

    system.settled(job_id)
    assert len(system.notifications(job_id)) == 1


def test_n2_a_receiver_that_answers_500_holds_up_nobody_and_is_told_when_it_is_back(system: System) -> None:
    system.notified.by_path["/sick"] = Answer(500)
    sick = system.record("evolink", notify_url=system.notified.url("/sick"))
    well = system.record("evolink", notify_url=system.notified.url("/well"))

    system.nudge(Step.SUBMIT, [sick, well])
    system.settled(well)
    system.wait(lambda: len(system.notifications(sick)) >= 2, "a second try")
    told_meanwhile = system.told(sick)["status"]
    system.notified.by_path.clear()

    job = system.settled(sick)
    received = system.notifications(sick)
    assert told_meanwhile == "SUCCESS"
    assert len(system.notifications(well)) == 1
    assert len(received) >= 3
    assert {one.webhook_id for one in received} == {f"{sick}.{job.ver}"}
    assert [tried["status"] for tried in system.store.notifications.deliveries(sick)][-1] == 204
