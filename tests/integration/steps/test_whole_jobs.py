"""Whole jobs, driven to their end by the clock alone, through lost and doubled messages, kills and bad servers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.exceptions import ServiceUnavailable

from tests.integration.steps.conftest import HOUR, Scene
from tests.integration.steps.meddling import killed
from worker.errors import CallbackError, StoreError
from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, batch, sweep

S = JobState
PROVIDERS = ("gmicloud", "evolink", "apimart")
WRITES = (
    *("due.claim", "due.renew", "due.rest", "attempts.begin", "attempts.bind", "jobs.move", "jobs.delivered"),
    *("callbacks.contradict", "callbacks.drop_candidate"),
)

TROUBLE: list[dict[str, Any]] = [
    {"on": "submit", "status": 429, "retry_after": 3},
    {"on": "submit", "cut": True, "created": True},
    {"on": "submit", "cut": True, "created": False},
    {"on": "submit", "status": 502, "html": True, "created": True},
    {"on": "submit", "status": 503},
    {"on": "poll", "status": 500},
    {"on": "poll", "status": 429, "retry_after": 9},
    {"on": "poll", "html": True},
    {"on": "poll", "status_word": "reticulating"},
    {"on": "poll", "status": 404},
    {"on": "list", "status": 500},
    {"on": "download", "dead": True},
    {"on": "download", "truncated": "connection"},
    {"on": "download", "html": True},
    {"on": "generation", "outcome": "failed", "code": "nsfw"},
    {"on": "generation", "seconds": 600},
]


STEPS = (*batch.RUNS, Step.ARCHIVE, Step.RETELL)
"""The steps of a job; bulk acts are operators' own."""


@dataclass
class World:
    """A bad day: one seed decides what is lost, doubled, killed and refused."""

    scene: Scene
    rng: random.Random
    is_bad: bool = True

    def services(self) -> Services:
        hooks = dict.fromkeys(WRITES, self._befall)
        return self.scene.but(store=self.scene.with_store(before=hooks, after=hooks))

    def _befall(self) -> None:
        fate = self.rng.random()
        if self.is_bad and fate < 0.01:
            killed()
        if self.is_bad and fate < 0.03:
            raise StoreError("Redis is away")

    def run(self, step: Step, job_id: str) -> Step | None:
        """One message, worked on by a process that may die of it."""
        try:
            return self.scene.run(step, job_id, self.services())
        except (KeyboardInterrupt, StoreError):
            return None

    def tick(self, jobs: Sequence[str]) -> None:
        """Some time, one sweep, and whatever messages come through, in any order."""
        messages: list[tuple[Step, str]] = []

        def publish(step: Step, job_ids: Sequence[str]) -> None:
            messages.extend((step, job_id) for job_id in job_ids)

        sweep.run(self.scene.services, publish, lambda _: False)
        if self.is_bad:
            messages = [message for message in messages for _ in range(self.rng.choice((0, 1, 1, 1, 2)))]
            messages += [(self.rng.choice(STEPS), self.rng.choice(jobs)) for _ in range(3)]
            self.call_back(self.rng.choice(jobs))
        self.rng.shuffle(messages)
        for step, job_id in messages:
            wanted = self.run(step, job_id)
            if wanted and self.rng.random() < 0.5:
                self.run(wanted, job_id)

    def call_back(self, job_id: str) -> None:
        """A callback of EvoLink: true, too early, of another end, or of somebody else's request."""
        if self.scene.job(job_id).provider != "evolink":
            return
        created = self.scene.created(job_id)
        named = self.rng.choice([*created, *created, "task-unified-1795000000-forged00"])
        with contextlib.suppress(CallbackError, ServiceUnavailable):  # a mismatch is answered 400, a full set 503
            self.scene.deliver(job_id, request_id=named, status=self.rng.choice(("completed", "completed", "failed")))

    def is_over(self, jobs: Sequence[str]) -> bool:
        return all(self.scene.job(job_id).told_ver == self.scene.job(job_id).ver for job_id in jobs)


def pass_time(world: World, jobs: Sequence[str]) -> None:
    """A good day at last: on to whenever somebody is due, until every job is told."""
    scene = world.scene
    world.is_bad = False
    for _ in range(1000):
        if world.is_over(jobs):
            return
        due_at = scene.store.due.next_at()
        assert due_at is not None
        scene.advance(max(0.0, (due_at - scene.clock.now_ms) / 1000) + 0.001)
        world.tick(jobs)
    raise AssertionError(f"never over: {[(job_id, scene.moves(job_id)) for job_id in jobs]}")


def outcomes(scene: Scene) -> dict[str, str]:
    """Every request that a provider took -> how its generation ends."""
    return {str(request["request_id"]): str(request["outcome"]) for request in scene.control.requests()}


def judge(scene: Scene, job: Job) -> None:
    """The expected end of the job, by its provider's part."""
    created = scene.created(job.id)
    assert job.is_final
    assert scene.told.told_jobs
    last_told = [told for told in scene.told.told_jobs if told.id == job.id][-1]
    assert (last_told.state, last_told.ver) == (job.state, job.ver)
    ends = [outcomes(scene)[request_id] for request_id in created]
    if ends == ["failed"]:
        assert job.state is S.FAILED
    elif ends == ["completed"] and "unconfirmed" not in scene.moves(job.id):
        assert job.state is S.ARCHIVED, "a paid video was thrown away"
    elif ends == []:
        assert job.state is S.FAILED


@pytest.mark.parametrize("seed", range(5))
def test_every_job_comes_to_its_end_through_lost_and_doubled_messages_and_kills(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    world = World(scene, rng)
    jobs = [f"job-{number}" for number in range(9)]
    scene.control.script(*rng.choices(TROUBLE, k=14))
    for number, job_id in enumerate(jobs):
        scene.accepted(PROVIDERS[number % 3], job_id)

    for _ in range(20):
        scene.advance(rng.uniform(1, 15))
        world.tick(jobs)
        assert scene.store.audit.breaches() == []
    pass_time(world, jobs)

    for job_id in jobs:
        judge(scene, scene.job(job_id))


def test_jobs_reach_their_end_though_every_message_but_the_sweeps_is_lost(scene: Scene) -> None:
    """The broker keeps nothing: no step is ever started but by a tick."""
    jobs = [f"job-{number}" for number in range(6)]
    for number, job_id in enumerate(jobs):
        scene.accepted(PROVIDERS[number % 3], job_id)

    ticks = 0
    while any(scene.job(job_id).is_open for job_id in jobs):
        for step, job_id in scene.sweep():
            scene.run(step, job_id)
        scene.advance(1)
        ticks += 1

    assert [scene.job(job_id).state for job_id in jobs] == [S.ARCHIVED] * 6
    assert ticks < 140, "a minute of generation, a poll, and three ticks"
    assert sorted(scene.told.states) == ["archived"] * 6


def test_a_sweep_that_did_not_run_for_hours_finds_every_job(scene: Scene) -> None:
    jobs = [f"job-{number}" for number in range(6)]
    for number, job_id in enumerate(jobs):
        scene.submitted(PROVIDERS[number % 3], job_id)
    scene.advance(5 * HOUR)

    for _ in range(4):
        for step, job_id in scene.sweep():
            scene.run(step, job_id)

    assert all(scene.job(job_id).closed_at for job_id in jobs)
    assert scene.told.states == ["archived"] * 6


@pytest.mark.parametrize("seed", range(3))
def test_steps_started_in_any_order_at_any_time_do_no_harm(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)
    jobs = [f"job-{number}" for number in range(3)]
    for provider, job_id in zip(PROVIDERS, jobs, strict=True):
        scene.accepted(provider, job_id)

    for _ in range(200):
        scene.run(rng.choice(STEPS), rng.choice(jobs))
        scene.advance(rng.choice((0, 0, 1, 5)))

    assert all(scene.posts(job_id) == 1 for job_id in jobs)
    assert all(scene.gets(job_id) <= 20 for job_id in jobs)
    assert [scene.job(job_id).state for job_id in jobs] == [S.ARCHIVED] * 3
    assert scene.told.states == ["archived"] * 3
