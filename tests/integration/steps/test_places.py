"""Places: bad and slow downloads, however many there are, never hold more than half of those that copy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.conftest import WaitUntil
from tests.integration.steps.buckets import held_up_bucket
from tests.integration.steps.conftest import JOB, MINUTE, Scene
from worker.errors import DownloadError, SlowDownloadError
from worker.jobs.states import JobState
from worker.steps import Step, archive
from worker.steps.copy_videos import copy_generated
from worker.steps.lease import Lease
from worker.steps.places import EXPRESS_PLACES, OPEN_PLACES, Places, archive_places
from worker.store import Claim

S = JobState
TICK_SECONDS = 4.0


def places(scene: Scene, published: list[tuple[Step, str]] | None = None) -> Places:
    def publish(step: Step, job_ids: Sequence[str]) -> None:
        if published is not None:
            published.extend((step, job_id) for job_id in job_ids)

    return archive_places(scene.services, publish)


def test_half_of_the_places_are_express() -> None:
    assert EXPRESS_PLACES == OPEN_PLACES


def test_all_that_waits_is_copied_and_its_results_delivered(scene: Scene) -> None:
    for number in range(6):
        scene.submitted("gmicloud", f"job-{number}")
    scene.finish()
    for number in range(6):
        scene.run(Step.POLL, f"job-{number}")

    assert places(scene).work(wait_seconds=60)

    assert [scene.job(f"job-{number}").state for number in range(6)] == [S.ARCHIVED] * 6
    assert [scene.job(f"job-{number}").is_open for number in range(6)] == [False] * 6


def test_one_broken_job_stops_no_other(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        scene.generated("gmicloud", f"job-{number}")
    scene.store.scripts.client.set(scene.store.scripts.keys.of("job-2")[5], "no JSON")

    places(scene).work(wait_seconds=60)

    assert [scene.job(f"job-{number}").state for number in range(4)] == [S.ARCHIVED] * 2 + [S.GENERATED, S.ARCHIVED]
    assert "step.broke" in caplog.messages


def test_a_slow_copy_goes_on_while_the_message_ends_and_others_are_copied(scene: Scene, wait_until: WaitUntil) -> None:
    scene.generated("gmicloud", "slow")
    held = threading.Event()

    def hold_the_slow_one() -> None:
        if threading.current_thread().name == "archive":
            held.wait(60)

    bucket = held_up_bucket(scene.services.bucket, before=hold_the_slow_one)
    express_at_rest = scene.but(bucket=bucket)
    working = archive_places(express_at_rest, lambda _step, _ids: None)
    # tried once, so that only an open place takes it
    claim = scene.store.due.claim("slow", states=(S.GENERATED,), lease_ms=1000)
    assert claim is not None
    scene.store.due.rest(claim, due_in_ms=0, behind=True)

    assert not working.work(wait_seconds=0.2)
    scene.submitted("gmicloud", "quick")
    scene.finish()
    scene.run(Step.POLL, "quick")
    working.work(wait_seconds=0)
    wait_until(lambda: not scene.job("quick").is_open)
    before = scene.job("slow").state
    held.set()
    wait_until(lambda: not scene.job("slow").is_open)

    assert before is S.GENERATED
    assert working.work(wait_seconds=60)


def test_a_redis_that_is_away_ends_no_place_for_good(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.generated()
    scene.store.scripts.client.rename("callsheet:{0}:perishing", "elsewhere")
    scene.store.scripts.client.set("callsheet:{0}:perishing", "no sorted set")
    working = places(scene)

    working.work(wait_seconds=60)
    scene.store.scripts.client.rename("elsewhere", "callsheet:{0}:perishing")
    working.work(wait_seconds=60)

    assert caplog.messages.count("step.postponed") == EXPRESS_PLACES + OPEN_PLACES
    assert scene.job().state is S.ARCHIVED


@dataclass
class Copying:
    """One copy under way in the simulation. *claim* is renewed as a `Lease` would."""

    claim: Claim
    is_express: bool
    began: float
    ends: float

    @property
    def is_bad(self) -> bool:
        return self.claim.job.id.startswith("bad")


@dataclass
class Simulation:
    """Two processes' places, whose bad copies fail after *hold_seconds*, on the scene's clock."""

    scene: Scene
    hold_seconds: float

    def run(self, until_seconds: float) -> tuple[dict[str, float], int]:
        """When each good job was archived, seconds from the start, and how many places were at most held by jobs that
        had failed before or took longer than an express copy may."""
        scene, began = self.scene, self.scene.clock.now
        copying: list[Copying] = []
        done: dict[str, float] = {}
        most_bad = 0
        while scene.clock.now - began < until_seconds and len(done) < 20:
            self._fill(copying)
            scene.advance(TICK_SECONDS)
            for one in copying:
                renewed = scene.store.due.renew(one.claim, lease_ms=30_000)
                assert renewed is not None
                one.claim = renewed
            express_seconds = scene.services.timing.archive_express_seconds
            slow = [one for one in copying if one.is_bad and scene.clock.now - one.began > express_seconds]
            most_bad = max(most_bad, len([one for one in slow if one.is_express is False]))
            for one in [one for one in copying if one.ends <= scene.clock.now]:
                copying.remove(one)
                self._end(one)
                if not one.is_bad:
                    done[one.claim.job.id] = scene.clock.now - began
        return done, most_bad

    def _fill(self, copying: list[Copying]) -> None:
        for is_express, most in ((True, 2 * EXPRESS_PLACES), (False, 2 * OPEN_PLACES)):
            while len([one for one in copying if one.is_express is is_express]) < most:
                claim = archive.claim_most_urgent(self.scene.services, is_express=is_express)
                if claim is None:
                    break
                now, is_bad = self.scene.clock.now, claim.job.id.startswith("bad")
                seconds = self.hold_seconds if is_bad else 2.0
                if is_express:
                    assert claim.job.failures == 0, "an express place takes only what nobody has tried"
                    seconds = min(seconds, self.scene.services.timing.archive_express_seconds)
                copying.append(Copying(claim, is_express, now, now + seconds))

    def _end(self, one: Copying) -> None:
        services = self.scene.services
        if not one.is_bad:
            copied = copy_generated(one.claim.job, Lease(one.claim, services), services)
            archive.finish(one.claim.job, copied, services, path="poll")
        elif one.is_express and one.ends - one.began >= services.timing.archive_express_seconds:
            archive.make_room(one.claim, services, SlowDownloadError("slow_here", "not done within 2 min"))
        else:
            archive.not_now(one.claim, services, DownloadError("timeout", "not done in time"))


@pytest.mark.parametrize(("bad", "hold_seconds"), [(1, 480), (8, 480), (16, 480), (32, 480), (16, 20), (64, 20)])
def test_good_videos_behind_bad_ones_are_copied_soon(scene: Scene, bad: int, hold_seconds: float) -> None:
    for n in range(bad):
        scene.submitted("apimart", f"bad-{n:03}")
    scene.advance(2 * MINUTE)
    for n in range(20):
        scene.submitted("apimart", f"good-{n:02}")
    scene.finish()
    for job_id in [f"bad-{n:03}" for n in range(bad)] + [f"good-{n:02}" for n in range(20)]:
        scene.store.due.hasten([job_id])
        scene.run(Step.POLL, job_id)
        assert scene.job(job_id).state is S.GENERATED

    done, most_bad = Simulation(scene, hold_seconds).run(until_seconds=3600)

    assert len(done) == 20
    rounds = -(-bad // (2 * EXPRESS_PLACES))  # each bad one may hold an express place once
    assert max(done.values()) <= rounds * min(hold_seconds, 120) + 60
    assert most_bad <= 2 * OPEN_PLACES


def test_a_slow_download_is_cut_in_an_express_place_and_finished_in_another(scene: Scene) -> None:
    scene.generated()
    downloads = 0

    def take_long() -> None:
        nonlocal downloads
        downloads += 1
        scene.advance(scene.services.timing.archive_express_seconds + 1)
        scene.store.scripts.client.hset(scene.store.scripts.keys.of(JOB)[0], "lease_until", scene.clock.now_ms + 30_000)

    services = scene.but(bucket=held_up_bucket(scene.services.bucket, before=take_long))

    express = archive.run(services, is_express=True)
    job = scene.job()
    again = archive.run(services, is_express=True)
    opened = archive.run(services)

    assert express == (JOB, None)
    assert (job.state, job.failures, job.failing_since) == (S.GENERATED, 0, None)
    assert job.waiting_for.startswith("a place to archive: ")
    assert scene.gets() == 1, "nobody asks for another link: this one is good"
    assert again is None
    assert opened == (JOB, Step.DELIVER)
    assert downloads == 2
