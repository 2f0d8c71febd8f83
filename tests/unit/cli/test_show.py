"""A shown spec: words, never links."""

from __future__ import annotations

from worker.cli.show import text
from worker.jobs.job import Job, JobError, Video
from worker.jobs.states import JobState
from worker.jobs.timing import Timing
from worker.operations.explain import View
from worker.operations.job_document import Details, document, shown_spec
from worker.operations.timeline import timeline
from worker.store import TimelineEntry

SIGNED = "https://cdn.example.com/start.png?X-Amz-Signature=abc"
NOW = 1_795_000_000_000
VIDEO = Video("s3://bucket/k/j1/1-1.mp4", 10, "ab" * 32, 5.0, 1280, 720)


def seen(state: JobState = JobState.SUBMITTED, **facts: object) -> View:
    job = Job("j1", state, 2, provider="evolink", model="m", accepted_at=NOW, state_at=NOW, **facts)  # type: ignore[arg-type]
    return View(job, NOW, NOW, Timing())


def test_links_are_named_by_their_host_only() -> None:
    shown = shown_spec({"prompt": "a corgi", "first_frame": SIGNED, "last_frame": "data:image/png;base64,AAAA"})

    assert shown == {
        "prompt": "a corgi",
        "first_frame": "<link at cdn.example.com>",
        "last_frame": "<picture of 26 characters>",
    }


def test_an_object_of_ours_is_named() -> None:
    assert shown_spec({"first_frame": "s3://bucket/a.png"}) == {"first_frame": "s3://bucket/a.png"}


def test_a_storyboard_is_shown_shot_by_shot() -> None:
    spec = {"model": "m", "shots": [{"seconds": 2, "prompt": "a door"}, {"seconds": 3, "prompt": "rain"}]}

    shown = text(Details(seen(), spec, (), 0)).splitlines()

    assert shown[-4:-1] == [
        "spec        model: m",
        "            shot 1: 2 s: a door",
        "            shot 2: 3 s: rain",
    ]


def test_what_came_from_outside_cannot_break_a_line() -> None:
    error = JobError("generate", "moderated", "no\x1b[2J\nwaits for   nothing")

    shown = text(Details(seen(JobState.FAILED, error=error), {"prompt": "a\nb"}, (), 0))

    assert "\x1b" not in shown
    assert "error       generate (moderated): no\\x1b[2J\\nwaits for   nothing" in shown.splitlines()
    assert "spec        prompt: a\\nb" in shown.splitlines()


def test_the_timeline_says_when_from_to_and_by_which_path() -> None:
    moves = [
        TimelineEntry(NOW, "", "accepted", "submit", 1),
        TimelineEntry(NOW + 1500, "accepted", "failed(submit)", "submit", 1, "moderated"),
    ]

    shown = text(Details(seen(), {}, timeline(seen().job, moves, ()), 0)).splitlines()

    assert shown[-2:] == [
        "timeline    2026-11-18T11:06:40.000Z  accepted, by submit",
        "            2026-11-18T11:06:41.500Z  accepted -> failed(submit), by submit: moderated",
    ]


def test_the_document_holds_what_the_text_does() -> None:
    view = seen(JobState.ARCHIVED, videos=(VIDEO,), request_ids={1: "r-1"}, generated_by="callback", told_ver=2)

    moves = timeline(view.job, [TimelineEntry(NOW, "", "accepted", "submit", 1)], ())
    told = document(Details(view, {"model": "m"}, moves, 3))

    assert told["videos"][0]["uri"] == VIDEO.uri
    assert told["request_id"] == "r-1"
    assert told["generated_by"] == "callback"
    assert told["events"] == 3
    assert told["timeline"][0]["at"] == "2026-11-18T11:06:40.000Z"
    assert told["waits_for"]
