"""The terms of a spec: for whom, at what cost, and when; each refused in words, none repeated."""

from __future__ import annotations

from typing import Any

import pytest

from worker.errors import SpecError
from worker.jobs.order_terms import instant
from worker.jobs.spec import JobSpec, parse_spec

NO_TENANTS: list[Any] = ["", "a b", "x" * 65, "ä", 7, True, ["a"], "a\n"]
NO_COSTS: list[Any] = [0, -1, "-1", "a", "", "1e-7", 1e-7, "NaN", "Infinity", True, [], 1e12]
NO_INSTANTS: list[Any] = ["tomorrow", "", "2026-13-01T00:00:00Z", -1, 1e18, True, [], "9999-12-31T23:59:59-14:00"]


def spec(**terms: Any) -> JobSpec:
    return parse_spec({"model": "m", "prompt": "p", **terms})


@pytest.mark.parametrize("name", ["acme", "A.b_c-9", "x" * 64])
def test_a_tenant_is_a_plain_name(name: str) -> None:
    assert spec(tenant=name).tenant == name


@pytest.mark.parametrize(
    ("given", "kept"), [(0.6, "0.6"), ("0.60", "0.6"), (1, "1"), (100, "100"), ("0.000001", "0.000001"), (1e2, "100")]
)
def test_a_cost_is_a_number_or_decimal_text_and_the_same_spec_in_each_form(given: object, kept: str) -> None:
    assert spec(max_cost=given).max_cost == kept
    assert spec(max_cost=given).sha256 == spec(max_cost=kept).sha256


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("2026-12-01T08:00:00Z", 1_796_112_000_000),
        ("2026-12-01T09:30:00+01:30", 1_796_112_000_000),
        ("2026-12-01T08:00:00.250Z", 1_796_112_000_250),
        (1_796_112_000, 1_796_112_000_000),
        (1_796_112_000.25, 1_796_112_000_250),
        (0, 0),
    ],
)
def test_an_instant_is_told_in_either_form_and_kept_in_one(given: object, at: int) -> None:
    kept = spec(not_before=given).not_before

    assert kept is not None
    assert instant(kept) == at
    assert spec(not_before=given).sha256 == spec(not_before=kept).sha256


@pytest.mark.parametrize("seconds", [60, 604_800])
def test_a_job_may_be_given_up_after_a_minute_to_a_week(seconds: int) -> None:
    assert spec(give_up_after=seconds).give_up_after == seconds


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *(("tenant", value, "must be 1 to 64 of") for value in NO_TENANTS),
        *(("max_cost", value, "must be USD above 0, with at most 6 decimals") for value in NO_COSTS),
        ("give_up_after", 59, "must be at least 60"),
        ("give_up_after", 604_801, "must be at most 604800"),
        ("give_up_after", "60", "must be a whole number"),
        ("give_up_after", 60.5, "must be a whole number"),
        ("not_before", "2026-12-01T08:00:00", "must say its offset from UTC"),
        *(("not_before", value, "must be an instant") for value in NO_INSTANTS),
    ],
)
def test_a_term_that_cannot_be_meant_is_refused_by_name(name: str, value: object, words: str) -> None:
    with pytest.raises(SpecError) as refused:
        spec(**{name: value})

    [problem] = refused.value.problems
    assert problem.startswith(f"{name}: ")
    assert words in problem


def test_all_bad_terms_are_told_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        spec(tenant="", max_cost=0, give_up_after=1, not_before="x")

    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        *("tenant", "max_cost", "give_up_after", "not_before"),
    ]
