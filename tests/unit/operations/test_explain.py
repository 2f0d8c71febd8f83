"""Waits in words: a sentence for every state and every reason to wait in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from worker.jobs.job import Job, JobError
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.operations.explain import View, explain

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
NOW = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC


def view(
    state: JobState, *, due_in_ms: int | None = 30 * SECOND, seen: dict[str, Any] | None = None, **job: Any
) -> View:
    """A job of EvoLink's in *state* for a minute, told and unleased unless *job* says otherwise."""
    facts = {"provider": "evolink", "ver": 3, "told_ver": 3, "accepted_at": NOW - 2 * MINUTE, "state_at": NOW - MINUTE}
    record = Job("j1", state, **{**facts, **job})
    due_at = None if due_in_ms is None else NOW + due_in_ms
    return View(record, due_at, NOW, Timing(), **(seen or {}))


@pytest.mark.parametrize("state", list(JobState))
def test_every_state_has_a_sentence(state: JobState) -> None:
    error = JobError("generate", "moderated", "no") if state is JobState.FAILED else None

    assert explain(view(state, error=error))


def test_an_accepted_job_waits_for_a_worker_until_the_submit_deadline() -> None:
    words = explain(view(JobState.ACCEPTED))

    assert words.startswith("a worker to submit it; tried in 30 s (2026-11-18 11:07:10 UTC)")
    assert "given up as failed(submit) in 5 h 58 min" in words


def test_an_accepted_job_that_was_not_taken_says_why_and_when_it_is_tried_again() -> None:
    words = explain(view(JobState.ACCEPTED, waiting_for="evolink to take it (rate_limited)"))

    assert words.startswith("evolink to take it (rate_limited); tried in 30 s")


def test_an_accepted_job_under_lease_is_being_prepared() -> None:
    words = explain(view(JobState.ACCEPTED, lease="1:1", lease_until=NOW + MINUTE))

    assert words == "a worker that is preparing its POST to evolink"


def test_a_submitting_job_waits_for_its_post_until_the_lease_ends() -> None:
    words = explain(view(JobState.SUBMITTING, lease="1:1", lease_until=NOW + 90 * SECOND))

    assert words.startswith("the answer to its POST to evolink; if nobody reports one in 1 min 30 s")
    assert "the POST is not sent again" in words


def test_a_post_that_the_bucket_could_not_be_told_of_was_not_sent() -> None:
    words = explain(view(JobState.SUBMITTING, unsent_by="a", waiting_for="the bucket to keep that it is sent"))

    assert words.startswith("the bucket to keep that it is sent; nothing was sent; tried in 30 s")


@pytest.mark.parametrize(
    ("seen", "ways"),
    [
        ({}, "settled by the deadline in 1 h 58 min"),
        (
            {"calls_back": True},
            "settled by a callback of evolink whose request id our own key confirms, or the deadline",
        ),
        ({"can_list": True}, "settled by evolink's list of requests showing our payload, or the deadline"),
        ({"candidates": 2}, "settled by one of 2 request ids told by callbacks proving to be its own, or the deadline"),
    ],
)
def test_an_unconfirmed_job_says_how_it_can_be_settled(seen: dict[str, Any], ways: str) -> None:
    words = explain(view(JobState.UNCONFIRMED, seen=seen))

    assert "may have been paid and is never sent again by itself" in words
    assert ways in words
    assert "as failed(outcome_unknown); looked at in 30 s" in words


def test_the_unconfirmed_deadline_counts_from_the_post() -> None:
    words = explain(view(JobState.UNCONFIRMED, begun_at=NOW - HOUR))

    assert "the deadline in 1 h (" in words


def test_the_deadline_of_an_unconfirmed_job_waits_for_its_candidates() -> None:
    words = explain(view(JobState.UNCONFIRMED, begun_at=NOW - 3 * HOUR, seen={"candidates": 1}))

    assert "the deadline now (since 2026-11-18 10:06:40 UTC), once each of those is read" in words


def test_a_submitted_job_that_is_polled_says_when() -> None:
    words = explain(view(JobState.SUBMITTED, progress=42))

    assert words.startswith("evolink to finish the video (42 %): polled in 30 s (2026-11-18 11:07:10 UTC)")
    assert "given up as expired in 5 h 58 min" in words


def test_a_success_that_cannot_be_used_is_told_as_what_it_is() -> None:
    words = explain(view(JobState.SUBMITTED, progress=100, unusable="no_video", unusable_at=NOW - 60_000))

    assert words.startswith("evolink to name a video: it says that it is done, but names no video (no_video): polled")
    assert "given up as failed(no_video) in 29 min" in words
    assert "100 %" not in words


def test_a_submitted_job_with_callbacks_waits_for_the_callback_first() -> None:
    words = explain(view(JobState.SUBMITTED, seen={"calls_back": True}))

    assert "its callback, or else a poll; polled in 30 s" in words


def test_a_job_that_a_worker_has_claimed_says_so() -> None:
    words = explain(view(JobState.SUBMITTED, lease="1:1", lease_until=NOW + 30 * SECOND))

    assert "a worker is at it now" in words


def test_a_generated_job_waits_for_its_copy_until_the_link_dies() -> None:
    words = explain(view(JobState.GENERATED, due_in_ms=0, link_expires_at=NOW + 23 * HOUR))

    assert words.startswith("a worker to copy it to the bucket; tried now; the provider's link dies in 23 h (")


def test_a_generated_job_whose_link_should_have_died_is_tried_on() -> None:
    words = explain(view(JobState.GENERATED, link_expires_at=NOW - HOUR))

    assert "should have died at 2026-11-18" in words
    assert "tried until its host says so, or for 30 min more" in words


def test_a_generated_job_without_a_known_end_says_when_it_is_given_up() -> None:
    words = explain(view(JobState.GENERATED))

    assert "the provider did not say when its link dies; given up as failed(archive) in 6 d 23 h" in words


def test_a_generated_job_that_could_not_be_copied_says_why() -> None:
    words = explain(view(JobState.GENERATED, failures=2, waiting_for="another try to archive: bucket: busy"))

    assert words.startswith("another try to archive: bucket: busy; tried in 30 s")


def test_a_generated_job_under_lease_is_being_copied() -> None:
    words = explain(view(JobState.GENERATED, lease="1:4", lease_until=NOW + 20 * SECOND))

    assert words.startswith("its copy to the bucket, which a worker is making; ")


def test_an_archived_job_says_what_it_still_owes() -> None:
    words = explain(view(JobState.ARCHIVED, told_ver=2, manifest_ver=0))

    assert words == "its result and its manifest to be written; tried in 30 s (2026-11-18 11:07:10 UTC)"


def test_what_is_owed_and_not_taken_says_why() -> None:
    words = explain(view(JobState.ARCHIVED, manifest_ver=0, failures=1, waiting_for="bucket: denied"))

    assert words.startswith("its manifest to be written (bucket: denied); tried in 30 s")


@pytest.mark.parametrize(
    ("state", "error", "hope"),
    [
        (JobState.EXPIRED, None, "a late video: evolink is still asked"),
        (JobState.FAILED, JobError("archive", "link_dead", "gone"), "a late copy or a fresh link"),
        (JobState.FAILED, JobError("confirm", "outcome_unknown", "?"), "a sign that evolink took the POST after all"),
    ],
)
def test_a_final_job_whose_video_may_still_come_says_until_when(
    state: JobState, error: JobError | None, hope: str
) -> None:
    words = explain(view(state, error=error, look_until=NOW + 30 * 24 * HOUR))

    assert words.startswith(hope)
    assert words.endswith("looked at in 30 s (2026-11-18 11:07:10 UTC), and so on until 2026-12-18 11:06:40 UTC")


def test_a_final_job_with_a_candidate_waits_for_its_reading() -> None:
    words = explain(view(JobState.FAILED, error=JobError("confirm", "outcome_unknown", "?"), seen={"candidates": 1}))

    assert words.startswith("1 request ids told by callbacks to prove to be its own or not")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (JobState.ARCHIVED, "the video is in the bucket and the result is told"),
        (JobState.FAILED, "it ended without a video and the result is told"),
        (JobState.EXPIRED, "the provider never finished"),
        (JobState.CANCELLED, "it was cancelled before any provider heard of it"),
    ],
)
def test_a_closed_job_waits_for_nothing(state: JobState, end: str) -> None:
    words = explain(view(state, due_in_ms=None, closed_at=NOW - 5 * MINUTE))

    assert words.startswith(f"nothing: {end}")
    assert words.endswith("closed 5 min ago")


def test_a_tombstone_waits_for_nothing() -> None:
    words = explain(view(JobState.ARCHIVED, due_in_ms=None, is_tombstone=True))

    assert words.startswith("nothing: it closed long ago and only its tombstone is left")


def test_a_job_that_nobody_looks_at_tells_of_a_clock_that_stands_still() -> None:
    words = explain(view(JobState.ACCEPTED, due_in_ms=-5 * MINUTE))

    assert "It has been due for 5 min: are beat and the sweeper running?" in words


def test_a_job_that_is_just_due_is_not_called_late() -> None:
    assert "has been due" not in explain(view(JobState.ACCEPTED, due_in_ms=-5 * SECOND))


def test_an_open_job_in_no_due_index_is_called_a_fault() -> None:
    words = explain(view(JobState.SUBMITTED, due_in_ms=None))

    assert "in no due index, which is a fault: run callsheet doctor" in words


def test_the_policy_comes_from_the_timing() -> None:
    seen = view(JobState.ACCEPTED)

    words = explain(replace(seen, timing=Timing(submit_deadline_seconds=3 * 60)))

    assert "given up as failed(submit) in 1 min (" in words
