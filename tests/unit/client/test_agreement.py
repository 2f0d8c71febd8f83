"""The client's words are the system's: fields of a spec, codes, signatures, results."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_client import ErrorCode, Result, Shot, Spec, UnexpectedAnswer, signature
from worker.jobs import error_codes
from worker.jobs.job import Video
from worker.jobs.spec import JobSpec, parse_spec
from worker.jobs.states import FINAL, JobState
from worker.messaging import signatures

SECRET = "fedcba9876543210fedcba9876543210"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.floats(0.001, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
DOCUMENT: dict[str, Any] = {
    **{"job_id": "j1", "state": "archived", "provider": "evolink", "model": "m", "attempt": 2, "ver": 9},
    **{"request_id": "r1", "cost": {"amount": "0.53"}, "spec": {"metadata": {"order": 7}}, "something": "new"},
    "videos": [dataclasses.asdict(Video("s3://b/1-1.mp4", 10, "ab", 5.0, 1280, 720))],
}


def test_a_spec_has_each_field_that_an_order_takes() -> None:
    assert {field.name for field in dataclasses.fields(Spec)} == set(JobSpec.model_fields)


def test_a_whole_spec_is_one_that_callsheet_reads() -> None:
    spec = Spec(model="kling-3.0-turbo", shots=[Shot(3, "A corgi"), Shot(2, "asleep")], metadata={"order": 7})

    assert parse_spec(json.loads(json.dumps(spec.document()))).seconds == 5


def test_a_spec_shows_no_prompt() -> None:
    assert "corgi" not in repr(Spec(model="m", prompt="a corgi", shots=[Shot(3, "a corgi")]))


def test_the_codes_are_the_same() -> None:
    assert {code.name: str(code) for code in ErrorCode} == {code.name: str(code) for code in error_codes.ErrorCode}


@pytest.mark.parametrize("state", JobState)
def test_a_job_has_ended_in_the_same_states(state: JobState) -> None:
    assert Result.of({**DOCUMENT, "state": str(state)}).is_final is (state in FINAL)


@given(st.dictionaries(st.text(max_size=6), PLAIN, max_size=4), st.dictionaries(st.sampled_from(["chain"]), PLAIN))
def test_a_signature_is_one_that_callsheet_takes(spec: dict[str, Any], canvas: dict[str, Any]) -> None:
    made = signature(SECRET, "order-4711", spec, canvas)

    assert signatures.is_signed(made, [SECRET], "order-4711", spec, canvas)
    assert not signatures.is_signed(made, [SECRET], "order-4712", spec, canvas)


@pytest.mark.parametrize("number", [1e-5, 1e16, float("inf"), float("nan")])
def test_a_number_that_languages_write_differently_is_not_signed(number: float) -> None:
    with pytest.raises(ValueError, match="send it as text"):
        signature(SECRET, "order-4711", {"metadata": [{"share": number}]})


def test_a_document_is_read_with_its_videos_and_keeps_what_is_new() -> None:
    result = Result.of(DOCUMENT)

    assert (result.videos[0].uri, result.metadata, result.document["something"]) == (
        "s3://b/1-1.mp4",
        {"order": 7},
        "new",
    )


@pytest.mark.parametrize(
    "changed", [{"state": None, "videos": 1}, {"videos": [{}]}, {"error": {"code": "x"}}, {"spec": 1}]
)
def test_a_document_of_another_kind_is_refused_in_words(changed: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswer, match="cannot be read"):
        Result.of({**DOCUMENT, **changed})
