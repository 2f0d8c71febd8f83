"""The words for a price say what it is by."""

from __future__ import annotations

import pytest

from worker.jobs.job import Job
from worker.jobs.states import JobState
from worker.operations.outcome import price


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ("list_price", "0.56 USD by the list price"),
        ("configured_price", "0.56 USD by your configured price"),
    ],
)
def test_a_price_says_what_it_is_by(basis: str, words: str) -> None:
    assert price(Job("j1", JobState.ACCEPTED, 1, cost={"amount": "0.56", "currency": "USD", "basis": basis})) == words


def test_an_unknown_price_says_so() -> None:
    assert price(Job("j1", JobState.ACCEPTED, 1)) == "its price is not known here"
