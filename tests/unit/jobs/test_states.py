"""The states and their moves, beside the design's own table."""

from __future__ import annotations

import pytest

from worker.jobs.states import FINAL, SOURCES, STAGES, JobState

S = JobState

LEAVES_TO = {
    "accepted": {S.SUBMITTING, S.CANCELLED, S.FAILED, S.UNCONFIRMED, S.SUBMITTED},
    "submitting": {S.SUBMITTED, S.ACCEPTED, S.UNCONFIRMED, S.FAILED},
    "unconfirmed": {S.SUBMITTED, S.FAILED, S.ACCEPTED},
    "submitted": {S.GENERATED, S.FAILED, S.EXPIRED},
    "generated": {S.ARCHIVED, S.FAILED},
    "archived": set(),
    "expired": {S.GENERATED, S.FAILED},
    "cancelled": set(),
    "failed(accept)": set(),
    "failed(submit)": set(),
    "failed(confirm)": {S.SUBMITTED},
    "failed(generate)": {S.GENERATED},
    "failed(archive)": {S.GENERATED, S.ARCHIVED},
}


@pytest.mark.parametrize("held", LEAVES_TO)
def test_a_job_leaves_to_where_the_design_says_and_nowhere_else(held: str) -> None:
    assert {target for target, sources in SOURCES.items() if held in sources} == LEAVES_TO[held]


def test_every_state_can_be_reached_and_every_source_is_a_word_that_a_job_can_hold() -> None:
    assert set(SOURCES) == set(S)
    assert set().union(*SOURCES.values()) <= LEAVES_TO.keys()


def test_what_a_provider_called_failed_is_never_undone() -> None:
    assert not any("failed" in sources for sources in SOURCES.values())


def test_only_a_post_that_was_surely_not_taken_leads_back_to_accepted() -> None:
    assert SOURCES[S.ACCEPTED] == {S.SUBMITTING, S.UNCONFIRMED}


def test_nothing_that_may_be_paid_for_is_cancelled() -> None:
    assert SOURCES[S.CANCELLED] == {S.ACCEPTED}


def test_every_stage_of_a_failed_job_is_one_of_five() -> None:
    assert {f"failed({stage})" for stage in STAGES} == {held for held in LEAVES_TO if held.startswith("failed")}


def test_a_final_state_is_one_that_the_caller_is_told() -> None:
    assert {S.ARCHIVED, S.FAILED, S.EXPIRED, S.CANCELLED} == FINAL


def test_from_every_state_that_is_not_final_a_final_one_can_be_reached() -> None:
    for state in set(S) - FINAL:
        reached, wave = {state}, {state}
        while wave:
            wave = {target for source in wave for target in LEAVES_TO.get(source, ())} - reached
            reached |= wave

        assert reached & FINAL, f"{state} has no end"
