"""The steps keep the figures behind the metrics: POSTs, GETs, copies, polls and callbacks, by provider."""

from __future__ import annotations

from tests.integration.steps.conftest import JOB, Scene
from worker.jobs.states import JobState
from worker.steps.poll import MISSED_SECONDS
from worker.store.counters import Counter


def test_a_whole_job_leaves_its_figures(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    job = scene.follow(step=scene.look_when_due())

    counted = scene.store.metrics.read().counted
    sizes = sum(video.bytes for video in job.videos)
    seen = {parts[1]: sum(n for p, n in counted.items() if p[:2] == parts[:2] and p[-1] != "sum") for parts in counted}
    assert job.state is JobState.ARCHIVED
    assert counted["submit", "evolink", "taken"] == 1
    assert counted["archived", "evolink"] == sizes > 0
    assert seen["post_duration_seconds"] == seen["archive_duration_seconds"] == seen["generation_polls"] == 1
    assert seen["get_duration_seconds"] == scene.gets()


def test_a_refused_post_is_counted_as_one(scene: Scene) -> None:
    scene.rule("submit", status=400)
    scene.accepted("evolink")

    scene.follow()

    assert scene.job().state is JobState.FAILED
    assert scene.store.metrics.read().counted["submit", "evolink", "refused"] == 1


def test_the_sweep_counts_a_callback_that_never_came(scene: Scene) -> None:
    scene.submitted("evolink")
    scene.finish()
    scene.look_when_due()
    before = scene.counter(Counter.CALLBACKS_MISSED)

    scene.advance(MISSED_SECONDS + 1)
    scene.sweep()

    assert (before, scene.counter(Counter.CALLBACKS_MISSED)) == (0, 1)
    assert scene.store.metrics.read().counted["callback", "evolink", "missed"] == 1
    assert JobState.GENERATED in scene.moves(JOB)
