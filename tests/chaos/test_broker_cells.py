"""Rows Q, O and P: the broker and the nudges. Whatever becomes of messages, every recorded job is finished, once."""

from __future__ import annotations

import random

import pytest
import redis

from tests.chaos import operations as do
from tests.chaos.rig import KILL, LOSE
from tests.chaos.system import System
from worker.errors import StoreError
from worker.store import Reply, Store, connect

pytestmark = pytest.mark.timeout(300)

PROVIDERS = ("gmicloud", "evolink", "apimart")


def a_mix(system: System, count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [system.start_job(rng.choice(PROVIDERS[:2])) for _ in range(count)]


def all_archived(system: System, job_ids: list[str], seconds: float = 120) -> None:
    for job_id in job_ids:
        assert system.settled(job_id, seconds).state == "archived"


def test_q1_after_restarts_of_the_broker_the_workers_go_on(system: System) -> None:
    job_ids = []
    for _ in range(3):
        job_ids += a_mix(system, 2)
        do.restart_broker(system)

    all_archived(system, job_ids)


def test_q2_connections_to_the_broker_that_carry_nothing_any_more_are_found_out(system: System) -> None:
    system.broker_wire.half_open()
    job_ids = a_mix(system, 2)

    all_archived(system, job_ids)


def test_q3_workers_killed_again_and_again_under_load_lose_no_job(system: System, seed: int) -> None:
    rng = random.Random(seed)
    job_ids = a_mix(system, 8, seed)

    for name in rng.sample(["worker", "archiver", "sweeper", "worker"], 4):
        do.kill(system, name)
        job_ids += a_mix(system, 4, rng.random().__hash__())

    for job_id in job_ids:
        assert system.ended_honestly(job_id)


def test_q3_a_raw_message_recorded_by_a_worker_that_dies_is_a_job(system: System) -> None:
    job_id = system.new_id()
    system.rig.arm("after store.jobs.accept", job_id, KILL)

    system.send_raw("gmicloud", job_id=job_id)
    system.sprung(job_id, "after store.jobs.accept")

    assert system.settled(job_id).state == "archived"


@pytest.mark.subset
def test_q7_o6_losing_the_brokers_whole_content_loses_no_recorded_job(system: System, seed: int) -> None:
    with do.paused(system, "worker", "archiver"):
        job_ids = a_mix(system, 6, seed)
        system.wait(
            lambda: all(system.job(job_id).nudges for job_id in job_ids), "the sweep's own nudges, lost as well"
        )
        do.lose_queues(system)

    all_archived(system, job_ids)


def test_q8_garbage_in_a_queue_stops_no_worker(system: System) -> None:
    for queue in ("callsheet", "callsheet.archive"):
        do.put_garbage(system, queue)

    all_archived(system, a_mix(system, 3))


@pytest.mark.subset
def test_q9_a_queue_that_is_delivered_three_times_pays_once_each(system: System, seed: int) -> None:
    rng = random.Random(seed)
    with do.paused(system, "worker"):
        job_ids = [system.send_raw(rng.choice(PROVIDERS)) for _ in range(6)]
        assert do.double_queues(system) > len(job_ids)

    all_archived(system, job_ids)
    for job_id in job_ids:
        assert len(system.posts(job_id)) == 1


def test_p3_o3_while_the_broker_is_down_jobs_are_recorded_and_run_later(system: System) -> None:
    system.broker_wire.refuse()
    job_ids = [system.record(provider) for provider in PROVIDERS]
    system.wait(lambda: all(system.store.due.at(job_id) for job_id in job_ids), "them to be due")

    system.broker_wire.mend()

    all_archived(system, job_ids)


def test_o1_a_sweeper_killed_between_putting_off_and_publishing_costs_one_interval(system: System) -> None:
    system.rig.arm("after store.due.nudge", "nobody", KILL)
    job_id = system.record("gmicloud")

    all_archived(system, [job_id])
    assert "after store.due.nudge" in system.rig.sprung("nobody")


def test_o2_x3_a_beat_and_a_sweeper_that_die_are_only_late(system: System) -> None:
    job_ids = [system.record("gmicloud") for _ in range(2)]
    for name in ("beat", "sweeper"):
        do.kill(system, name)

    all_archived(system, job_ids)


def test_o7_forgotten_scripts_are_loaded_again(system: System) -> None:
    job_ids = a_mix(system, 3)
    for _ in range(5):
        do.forget_scripts(system)

    all_archived(system, job_ids)


def test_p2_a_record_whose_answer_was_lost_is_the_same_job_when_asked_again(system: System) -> None:
    first, job_id = system.new_id(), system.new_id()
    url = system.redis.url.replace(f":{system.redis.port}/", f":{system.redis_wire.port}/")

    def accept(store: Store, job_id: str) -> Reply:
        return store.jobs.accept(
            job_id, spec_json="{}", spec_sha256="x" * 64, provider="gmicloud", model="none", due_in_ms=3_600_000
        )

    with connect(url) as client:
        store = Store(client, retention_ms=1000)
        assert accept(store, first).applied  # whatever is asked once per client is asked by now
        with system.outage("store"):
            system.redis_wire.lose_answers()
            with pytest.raises(StoreError):
                accept(store, job_id)

        assert accept(store, job_id).word == "repeat"
    with redis.Redis.from_url(system.redis.url) as plain:
        for name in (first, job_id):
            plain.zrem("callsheet:{0}:due", name)
            plain.delete(*(f"callsheet:{{0}}:{kind}:{name}" for kind in ("job", "history")))


def test_p7_the_same_raw_message_sent_twice_is_one_job(system: System) -> None:
    job_id = system.send_raw("evolink")
    system.send("callsheet.generate", "callsheet", system.spec(job_id, "evolink"), task_id=job_id)

    all_archived(system, [job_id])
    assert len(system.posts(job_id)) == 1


def test_l1_l2_a_step_that_loses_the_answer_of_redis_repeats_nothing_that_costs(system: System) -> None:
    job_id = system.record("gmicloud")
    for point in (
        "after store.attempts.begin",
        "after store.attempts.bind",
        "after store.jobs.move.generated",
        "after store.jobs.move.archived",
    ):
        system.rig.arm(point, job_id, LOSE)

    all_archived(system, [job_id])
    assert len(system.posts(job_id)) == 1
