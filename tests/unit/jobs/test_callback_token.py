"""The token of a callback URL: whose it is, and that nothing else passes for it."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.jobs.callback_token import callback_url, is_valid, token

OLD, NEW = "old-secret-of-thirty-two-letters", "new-secret-of-thirty-two-letters"
SIGNED = token(NEW, "evolink", "job-1", 1)
ALPHABET = string.ascii_letters + string.digits + "-_"


def test_a_token_is_what_it_always_was() -> None:
    """Callbacks of jobs in flight must survive an upgrade: this value never changes."""
    assert token("0123456789abcdef0123456789abcdef", "evolink", "job-1", 1) == (
        "Y5sp_Ow7gPV0kdrAMrBLz1gKz3ChWW-QZdMVI1XLui8"
    )


def test_a_callback_url_names_the_attempt_and_is_signed_with_the_first_secret() -> None:
    url = callback_url("https://callsheet.example.com", (NEW, OLD), "evolink", "job-1", 1)

    assert url == f"https://callsheet.example.com/callbacks/evolink/job-1/1/{SIGNED}"


def test_a_callback_url_fits_where_a_provider_takes_2048_characters() -> None:
    url = callback_url("https://callsheet.example.com", (NEW,), "gmicloud", "j" * 64, 9999)

    assert len(url) < 200


@pytest.mark.parametrize("secrets", [(NEW,), (NEW, OLD), (OLD, NEW)])
def test_a_token_is_valid_under_any_live_secret(secrets: tuple[str, ...]) -> None:
    assert is_valid(SIGNED, secrets, "evolink", "job-1", 1)


@pytest.mark.parametrize("secrets", [(), (OLD,)])
def test_a_token_of_a_retired_secret_is_not_valid(secrets: tuple[str, ...]) -> None:
    assert not is_valid(SIGNED, secrets, "evolink", "job-1", 1)


@pytest.mark.parametrize(
    ("provider", "job_id", "attempt"),
    [("apimart", "job-1", 1), ("evolink", "job-2", 1), ("evolink", "job-1", 2), ("evolink", "job-11", 1)],
)
def test_a_token_is_worthless_for_anything_else(provider: str, job_id: str, attempt: int) -> None:
    assert not is_valid(SIGNED, (NEW,), provider, job_id, attempt)


@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param("", id="empty"),
        pytest.param(SIGNED[:-1], id="a character short"),
        pytest.param(SIGNED + "A", id="a character long"),
        pytest.param(SIGNED + "=", id="padded"),
        pytest.param(SIGNED + "\n", id="with a line break"),
        pytest.param(SIGNED.upper(), id="in capitals"),
        pytest.param(SIGNED[:-1] + "é", id="not ASCII"),
        pytest.param(SIGNED[:-1] + "\N{ARABIC-INDIC DIGIT ONE}", id="with a foreign digit"),
        pytest.param("+" + SIGNED[1:], id="in the other base64"),
        pytest.param("\x00" * 43, id="all NUL"),
    ],
)
def test_what_is_not_exactly_the_token_is_not_valid(candidate: str) -> None:
    assert not is_valid(candidate, (NEW, OLD), "evolink", "job-1", 1)


@pytest.mark.parametrize("position", range(43))
def test_no_character_of_a_token_can_be_another(position: int) -> None:
    """The last one too, of which base64 would ignore some bits."""
    others = [SIGNED[:position] + char + SIGNED[position + 1 :] for char in ALPHABET if char != SIGNED[position]]

    assert [other for other in others if is_valid(other, (NEW, OLD), "evolink", "job-1", 1)] == []


@given(st.one_of(st.text(max_size=60), st.text(ALPHABET, min_size=43, max_size=43)))
def test_no_guess_is_ever_valid(guess: str) -> None:
    assert not is_valid(guess, (NEW, OLD), "evolink", "job-1", 1)
