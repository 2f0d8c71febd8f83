"""The timeline: moves, acts with who and why, callbacks with their verdict, polls summed up; in the order of time."""

from __future__ import annotations

from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.operations.timeline import timeline
from worker.store import StoredEvent, TimelineEntry

NOW = 1_795_000_000_000


def event(at: int, *, attempt: int = 1, request_id: str = "r1", terminal: bool = True) -> StoredEvent:
    return StoredEvent("f", at, attempt, request_id, terminal, '{"status": "completed"}')


def told(job: Job, entries: list[TimelineEntry], *events: StoredEvent) -> list[str]:
    return [happening.words for happening in timeline(job, entries, events)]


def job(state: JobState = JobState.SUBMITTED, **facts: object) -> Job:
    return Job("j1", state, 1, request_ids={1: "r1"}, submitted_at=NOW, **facts)  # type: ignore[arg-type]


def test_an_act_says_who_and_why() -> None:
    retried = TimelineEntry(NOW, "expired", "submitted", "operator", 1, "retried by an operator", "ada", "by phone")
    replayed = TimelineEntry(NOW + 1, "submitted", "submitted", "operator", 1, "a callback", "ada")

    assert told(job(), [retried, replayed]) == [
        "expired -> submitted, by operator ada: retried by an operator (by phone)",
        "submitted, by operator ada: a callback",
    ]
    assert [happening.kind for happening in timeline(job(), [retried, replayed], ())] == ["move", "act"]


def test_a_callback_that_the_provider_bears_out_is_confirmed() -> None:
    moved = TimelineEntry(NOW + 9, "submitted", "generated", "callback", 1)

    assert told(job(JobState.GENERATED), [moved], event(NOW + 5)) == [
        "callback for r1 says completed: confirmed",
        "submitted -> generated, by callback",
    ]


def test_a_callback_of_another_attempt_or_request_says_so() -> None:
    later = Job("j1", JobState.ACCEPTED, 1, attempt=2, request_ids={1: "r1"})

    assert told(later, [], event(NOW)) == ["callback for r1 says completed: of an earlier attempt"]
    assert told(job(), [], event(NOW, request_id="r2")) == ["callback for r2 says completed: of another request"]
    assert told(job(), [], event(NOW)) == ["callback for r1 says completed: yet to be looked at"]


def test_polls_are_one_line_with_those_that_failed() -> None:
    polled = job(polls=7, failures=3, waiting_for="evolink to answer (server_error)", contradictions=2)

    assert told(polled, []) == [
        "7 polls, the last 3 of them failed: evolink to answer (server_error)",
        "2 callbacks were denied by the provider's own answer, and forgotten",
    ]
