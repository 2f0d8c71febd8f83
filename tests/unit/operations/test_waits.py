"""Waits as data: each code of the closed list is reached, and has its heading in the runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.operations.test_explain import HOUR, MINUTE, NOW, SECOND, view
from worker.jobs.job import JobError
from worker.jobs.rate_limits import REASONS
from worker.jobs.states import JobState
from worker.jobs.wait_codes import MEANINGS, OF_REFUSAL, Settler, WaitCode
from worker.operations.explain import explain
from worker.operations.waits import NOTED, SETTLED_BY, WAIT_IN, waits_for

RUNBOOK = Path(__file__).parents[3] / "deploy" / "runbook.md"
S, W = JobState, WaitCode
LEASED = {"lease": "n", "lease_until": NOW + 90 * SECOND}

CASES: list[tuple[WaitCode, int | None, JobState, dict[str, Any]]] = [
    (W.WORKER, NOW - 2 * MINUTE + 6 * HOUR, S.ACCEPTED, {}),
    (W.WORKER, NOW + 3 * MINUTE, S.ACCEPTED, {"give_up_after": 300}),
    (W.SCHEDULED, NOW + HOUR, S.ACCEPTED, {"not_before": NOW + HOUR}),
    (W.WORKER, NOW - MINUTE + 6 * HOUR, S.ACCEPTED, {"not_before": NOW - MINUTE}),
    (W.BUDGET, NOW - 2 * MINUTE + 7 * 24 * HOUR, S.ACCEPTED, {"waits": "budget", "place": "submit:1"}),
    (W.WORKER, NOW - 2 * MINUTE + 6 * HOUR, S.ACCEPTED, {"waits": "a word of a later version"}),
    (W.POST_ANSWER, NOW + 90 * SECOND, S.SUBMITTING, LEASED),
    (W.BUCKET, NOW + 30 * SECOND, S.SUBMITTING, {"unsent_by": "n", "waits": "bucket"}),
    (W.RECONCILE, NOW - 2 * MINUTE + 2 * HOUR, S.UNCONFIRMED, {}),
    (W.GENERATION, NOW - 2 * MINUTE + 6 * HOUR, S.SUBMITTED, {}),
    (W.CALLBACK_OR_POLL, NOW - 2 * MINUTE + 6 * HOUR, S.SUBMITTED, {"seen": {"calls_back": True}}),
    (W.PROVIDER, NOW - 2 * MINUTE + 6 * HOUR, S.SUBMITTED, {"waits": "provider", "seen": {"calls_back": True}}),
    (W.ARCHIVE, NOW + HOUR, S.GENERATED, {"link_expires_at": NOW + HOUR}),
    (W.BUCKET, NOW + HOUR, S.GENERATED, {"link_expires_at": NOW + HOUR, "waits": "bucket"}),
    (W.RESULT, None, S.ARCHIVED, {"told_ver": 2, "manifest_ver": 0}),
    (W.MANIFEST, None, S.ARCHIVED, {"manifest_ver": 0}),
    (W.LATE_VIDEO, NOW + HOUR, S.EXPIRED, {"look_until": NOW + HOUR}),
    (W.RECONCILE, NOW + HOUR, S.EXPIRED, {"look_until": NOW + HOUR, "seen": {"candidates": 1}}),
    (W.NOTHING, None, S.ARCHIVED, {"closed_at": NOW}),
]


@pytest.mark.parametrize(("code", "until", "state", "job"), CASES)
def test_a_job_waits_for_one_thing_until_an_instant(
    code: WaitCode, until: int | None, state: JobState, job: dict[str, Any]
) -> None:
    seen = view(state, **job)

    waits = waits_for(seen)

    assert (waits.code, waits.until, waits.words) == (code, until, explain(seen))


@pytest.mark.parametrize(("code", "_until", "state", "job"), CASES)
def test_a_list_of_those_that_wait_so_looks_where_they_are(
    code: WaitCode, _until: int | None, state: JobState, job: dict[str, Any]
) -> None:
    record = view(state, **job).job

    assert state in WAIT_IN.get(code, frozenset(JobState))
    assert code not in NOTED or record.waits == code


@pytest.mark.parametrize("reason", REASONS)
def test_every_refusal_of_a_limit_has_its_code(reason: str) -> None:
    waits = str(OF_REFUSAL[reason])

    assert waits_for(view(S.ACCEPTED, waits=waits, place="submit:1")).code == waits
    assert waits_for(view(S.SUBMITTED, waits=waits, place="poll:1")).code == waits


def test_the_ways_out_of_an_unconfirmed_job_are_its_own() -> None:
    seen = {"calls_back": True, "can_list": True, "candidates": 2}

    assert waits_for(view(S.UNCONFIRMED)).settled_by == (Settler.DEADLINE,)
    assert waits_for(view(S.UNCONFIRMED, seen=seen)).settled_by == (
        *(Settler.CANDIDATE, Settler.CALLBACK, Settler.LIST, Settler.DEADLINE),
    )


def test_every_code_has_a_sentence_and_its_ways_out() -> None:
    assert set(MEANINGS) == set(WaitCode)
    assert set(SETTLED_BY) == set(WaitCode) - {W.RECONCILE}


def test_the_runbook_has_a_heading_for_every_code_and_for_no_other() -> None:
    section = RUNBOOK.read_text().partition("## What a job waits for\n")[2].partition("\n## ")[0]

    assert re.findall(r"^### `(\w+)`$", section, re.MULTILINE) == list(WaitCode)
    for code, sentence in MEANINGS.items():
        assert f"### `{code}`\n\nIt waits for {sentence}.\n" in section


def test_the_document_of_a_wait_is_json() -> None:
    failed = view(S.FAILED, error=JobError("archive", "dead", "gone"), look_until=NOW)

    assert waits_for(failed).document() == {
        "code": "late_video",
        "words": explain(failed),
        "until": "2026-11-18T11:06:40.000Z",
        "settled_by": ["poll", "callback", "bucket", "deadline"],
    }
