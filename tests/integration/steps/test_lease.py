"""A lease that is renewed for as long as its step makes progress, and no longer."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import WaitUntil
from tests.integration.steps.buckets import held_up_bucket
from tests.integration.steps.conftest import HOUR, JOB, MINUTE, Scene
from worker.errors import LeaseLostError
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.services import Services
from worker.steps import Step, archive
from worker.steps.lease import Lease
from worker.steps.places import archive_places

S = JobState
QUICK = Timing(archive_renew_seconds=0.01)


class Hanging:
    """A bucket whose first put hangs until it is let go."""

    def __init__(self, scene: Scene) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.services: Services = scene.but(
            bucket=held_up_bucket(scene.services.bucket, before=self._hang), timing=QUICK
        )

    def _hang(self) -> None:
        if not self.begun.is_set():
            self.begun.set()
            assert self.let_go.wait(60)


def test_a_step_without_progress_loses_its_claim_and_says_so(
    scene: Scene, wait_until: WaitUntil, caplog: pytest.LogCaptureFixture
) -> None:
    scene.generated()
    hanging = Hanging(scene)
    turns: list[Any] = []
    thread = threading.Thread(target=lambda: turns.append(archive.run(hanging.services)))
    thread.start()
    assert hanging.begun.wait(30)

    scene.advance(241)
    wait_until(lambda: scene.job().waiting_for != "")
    job, due_in = scene.job(), scene.due_in()
    scene.advance(due_in)
    another = archive.run(scene.services)
    hanging.let_go.set()
    thread.join(60)

    assert job.state is S.GENERATED
    assert (job.lease, job.failures) == ("", 1)
    assert job.waiting_for == "another try: nothing has moved for 4 min 1 s, so the last one was given up"
    assert 0 < due_in < 5
    assert another == (JOB, Step.DELIVER), "another archives it while the first one still hangs"
    assert turns == [(JOB, None)]
    assert scene.moves().count("archived") == 1
    assert scene.counter("steps_stalled") == 1
    assert "step.stalled" in caplog.messages


def test_a_place_whose_thread_hangs_is_free_for_others(scene: Scene, wait_until: WaitUntil) -> None:
    scene.generated()
    hanging = Hanging(scene)
    working = archive_places(hanging.services, lambda _step, _ids: None)
    working.work(wait_seconds=0)
    assert hanging.begun.wait(30)

    scene.advance(241)
    wait_until(lambda: scene.counter("steps_stalled") == 1)
    scene.advance(scene.due_in())
    is_idle = working.work(wait_seconds=60)
    state = scene.job().state
    hanging.let_go.set()

    assert is_idle
    assert state is S.ARCHIVED


def test_bytes_parts_and_answers_are_progress(scene: Scene, wait_until: WaitUntil) -> None:
    scene.generated()
    claim = scene.store.due.claim(JOB, states=(S.GENERATED,), lease_ms=30_000)
    assert claim is not None

    with Lease(claim, scene.but(timing=QUICK)) as lease:
        for _ in lease.keeping(iter([b"part"] * 40)):
            scene.advance(20)
            wait_until(lambda: scene.job().lease_until == scene.clock.now_ms + 30_000)

    assert scene.counter("steps_stalled") == 0


def test_the_longest_copy_has_an_end_whatever_moves(scene: Scene, wait_until: WaitUntil) -> None:
    scene.generated()
    claim = scene.store.due.claim(JOB, states=(S.GENERATED,), lease_ms=30_000)
    assert claim is not None
    timing = replace(QUICK, archive_longest_seconds=10 * MINUTE)

    with Lease(claim, scene.but(timing=timing)) as lease:
        parts = lease.keeping(iter([b"part"] * 60))
        while scene.clock.now_ms - claim.now < 10 * 60_000:
            next(parts)
            scene.advance(20)
            wait_until(lambda: scene.job().lease_until == scene.clock.now_ms + 30_000)
        scene.advance(1)
        wait_until(lambda: scene.counter("steps_stalled") == 1)
        with pytest.raises(LeaseLostError):
            next(parts)

    assert scene.job().waiting_for.startswith("another try: not done within 10 min")


def test_the_longest_copy_is_longer_than_any_download_may_be(scene: Scene) -> None:
    limits = scene.services.downloader._limits

    assert Timing().archive_longest_seconds > limits.total_seconds
    assert Timing().archive_longest_seconds > limits.max_bytes / limits.least_bytes_per_second
    assert Timing().archive_stall_seconds > limits.stall_seconds


def test_the_record_tells_since_when_it_is_leased(scene: Scene, wait_until: WaitUntil) -> None:
    scene.generated()
    claim = scene.store.due.claim(JOB, states=(S.GENERATED,), lease_ms=30_000)
    assert claim is not None
    began = scene.clock.now_ms

    for _ in range(200):
        scene.advance(20)
        renewed = scene.store.due.renew(claim, lease_ms=30_000)
        assert renewed is not None
        claim = renewed

    assert scene.job().leased_at == began
    assert scene.clock.now_ms - began > HOUR * 1000
    scene.store.due.rest(claim, due_in_ms=0)
    assert scene.job().leased_at is None
