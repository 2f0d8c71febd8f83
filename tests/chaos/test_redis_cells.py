"""Rows D: the state Redis. What was acknowledged is there afterwards; what was not is whole or absent."""

from __future__ import annotations

import time

import pytest

from tests.chaos import operations as do
from tests.chaos.system import System

pytestmark = pytest.mark.timeout(300)

PROVIDERS = ("gmicloud", "evolink", "apimart")


def some_jobs(system: System) -> list[str]:
    return [system.start_job(provider) for provider in PROVIDERS[:2] for _ in range(2)]


def all_archived(system: System, job_ids: list[str]) -> None:
    for job_id in job_ids:
        assert system.settled(job_id, 120).state == "archived"


@pytest.mark.subset
def test_d1_redis_killed_and_started_again_under_load_loses_nothing(system: System, seed: int) -> None:
    job_ids = []
    for number in range(3):
        job_ids += some_jobs(system)
        time.sleep(0.3 + 0.2 * (seed + number))  # another moment of the jobs' lives each time
        do.kill_redis(system)

    all_archived(system, job_ids)


def test_d6_a_redis_without_memory_delays_jobs_and_halves_none(system: System) -> None:
    job_ids = some_jobs(system)
    with do.out_of_memory(system):
        time.sleep(2)  # as long as it lasts, steps are refused their writes

    all_archived(system, job_ids)


def test_d7_a_full_disk_stops_redis_and_no_job(system: System) -> None:
    job_ids = some_jobs(system)
    with do.disk_full(system):
        system.wait(lambda: not system.redis.process.is_running, "Redis to meet the full disk")

    all_archived(system, job_ids)


def test_d9_a_stall_of_redis_doubles_no_effect(system: System) -> None:
    job_ids = some_jobs(system)
    with do.redis_paused(system):
        time.sleep(8)  # the stall itself: longer than every client's patience

    all_archived(system, job_ids)
    for job_id in job_ids:
        assert len(system.posts(job_id)) == 1


def test_d_resets_of_every_line_to_redis_lose_nothing(system: System, seed: int) -> None:
    job_ids = some_jobs(system)
    for _ in range(10):
        do.reset_redis_lines(system)
        time.sleep(0.2)  # lines are made anew in between

    all_archived(system, job_ids)
