"""Rows A, L and V: from the provider's word to the object. One video, whole, exactly the provider's, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.rig import KILL, freeze
from tests.chaos.system import System
from worker.steps import Step

pytestmark = pytest.mark.timeout(240)


def films(system: System, job_id: str) -> int:
    """The number of times a video of the job became visible."""
    return sum(1 for call in system.gate.of(job_id) if call.is_put and call.key.endswith(".mp4"))


@pytest.mark.parametrize(
    ("cell", "point"),
    [
        ("a1", "while downloading"),
        ("a2", "before put"),
        pytest.param("a3", "after bucket.videos.store", marks=pytest.mark.subset),
        ("a4", "after store.jobs.move.archived"),
        ("l1", "after store.due.claim.submitted"),
        ("l2", "after provider.fetch"),
        ("n0", "after results.tell"),
        ("n0", "after bucket.manifests.put"),
    ],
    ids=lambda value: value.replace(" ", "-"),
)
def test_a1_to_a4_l1_l2_a_kill_at_any_point_after_the_submit_costs_a_lease_and_stores_one_video(
    system: System, cell: str, point: str
) -> None:
    job_id = system.record("gmicloud")
    system.rig.arm(point, job_id, KILL)

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert system.rig.sprung(job_id) == [point]
    assert films(system, job_id) == 1


@pytest.mark.parametrize(
    ("cell", "point"),
    [
        pytest.param("a5", "before put", marks=pytest.mark.subset),
        ("a6", "while downloading"),
        ("l11", "after provider.fetch"),
    ],
    ids=["a5-before-put", "a6-while-downloading", "l11-after-the-get"],
)
def test_a5_a6_l11_a_step_paused_past_its_lease_finds_the_work_done_and_changes_nothing(
    system: System, cell: str, point: str
) -> None:
    job_id = system.record("gmicloud")
    system.rig.arm(point, job_id, freeze(8))

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert films(system, job_id) == 1
    assert system.moves(job_id).count("archived") == 1


def test_l8_a_callback_between_get_and_record_is_not_slept_over(system: System) -> None:
    job_id = system.record("evolink", {"on": "callback", "lost": True}, {"on": "generation", "seconds": 8})
    system.nudge(Step.SUBMIT, [job_id])
    system.reaches(job_id, "submitted")
    system.rig.arm("after provider.fetch", job_id, freeze(2))
    system.sprung(job_id, "after provider.fetch")

    system.control.advance(10)
    system.control.callback(str(system.job(job_id).request_id))

    assert system.settled(job_id).state == "archived"


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("a7", {"status": 503, "code": "SlowDown", "times": 5}),
        ("a9", {"status": 409, "code": "ConditionalRequestConflict", "times": 2}),
        ("a19", {"status": 403, "code": "ExpiredToken", "times": 4}),
        ("a3", {"status": 500, "code": "InternalError", "times": 1, "forwarded": True}),
    ],
    ids=["a7-slow-down", "a9-conflict", "a19-expired", "a3-answer-lost"],
)
@pytest.mark.parametrize("place", ["intents/{}/1-1", "/{}/1-1.mp4"], ids=["intent", "video"])
def test_a7_a9_a19_what_s3_refuses_for_now_is_put_later_and_once(
    system: System, cell: str, answer: dict[str, Any], place: str
) -> None:
    job_id = system.record("gmicloud")
    system.gate.answer("PUT", place.format(job_id), **answer)

    system.nudge(Step.SUBMIT, [job_id])

    assert system.settled(job_id).state == "archived"
    assert (films(system, job_id), len(system.posts(job_id))) == (1, 1)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("a10", {"truncated": "connection"}),
        ("a10", {"truncated": "file"}),
        pytest.param("a11", {"half": True}, marks=pytest.mark.subset),
        ("a12", {"dead": True}),
        ("a12", {"dead": True, "status": 410}),
        ("a15", {"html": True}),
        ("a17", {"gzip": True}),
    ],
    ids=["a10-connection", "a10-file", "a11-reset", "a12-403", "a12-410", "a15-html", "a17-gzip"],
)
def test_a10_to_a17_a_download_that_is_not_the_whole_video_is_made_again(
    system: System, cell: str, rule: dict[str, Any]
) -> None:
    job_id = system.start_job("gmicloud", {"on": "download", "times": 2, **rule})

    assert system.settled(job_id).state == "archived"
    assert films(system, job_id) == 1


@pytest.mark.subset
def test_a20_callbacks_that_lie_archive_nothing_and_the_truth_does(system: System) -> None:
    job_id = system.start_job(
        "evolink",
        {"on": "callback", "forged": ["wrong_id", "wrong_token", "contradiction"]},
        {"on": "generation", "seconds": 3},
    )

    assert system.settled(job_id).state == "archived"
    assert 404 in {entry.get("status") for entry in system.callbacks(job_id)}
    assert films(system, job_id) == 1


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ("l3", {"status": 429, "retry_after": 3}),
        ("l5", {"not_found_seconds": 3, "times": None}),
        ("l6", {"status": 500, "times": 3}),
        ("l12", {"status_word": "pondering", "times": 2}),
        ("v6", {"html": True, "status": 200, "times": 2}),
        ("l7", {"cut": True, "times": 3}),
    ],
    ids=["l3-429", "l5-404", "l6-500", "l12-unknown-word", "v6-html", "l7-cut"],
)
def test_l3_to_l12_v6_a_poll_that_tells_nothing_is_made_again(system: System, cell: str, rule: dict[str, Any]) -> None:
    job_id = system.start_job("gmicloud", {"on": "poll", **rule})

    assert system.settled(job_id).state == "archived"
    assert len(system.posts(job_id)) == 1


def test_v1_four_callbacks_beside_the_poll_archive_one_video(system: System) -> None:
    job_id = system.start_job("evolink", {"on": "callback", "concurrent": 4, "late_seconds": 5})

    assert system.settled(job_id).state == "archived"
    assert films(system, job_id) == 1


@pytest.mark.parametrize("count", [2, 10])
def test_v4_every_video_of_a_result_is_archived_by_its_number(system: System, count: int) -> None:
    job_id = system.start_job("gmicloud", {"on": "generation", "videos": count})

    job = system.settled(job_id)
    assert [video.uri.rpartition("/")[2] for video in job.videos] == [f"1-{n}.mp4" for n in range(1, count + 1)]
    assert films(system, job_id) == count


def test_v5_a_failure_told_by_a_callback_is_not_believed_against_the_providers_own_word(system: System) -> None:
    job_id = system.start_job("evolink", {"on": "callback", "lost": True}, {"on": "generation", "seconds": 3})
    system.reaches(job_id, "submitted")
    system.control.callback(str(system.job(job_id).request_id), status="failed")

    assert system.settled(job_id).state == "archived"
