"""Sessions: a cookie that only its token's secret can sign, for so long and no longer."""

from __future__ import annotations

import pytest

from worker.console.pages import sessions
from worker.settings.tokens import Token

NOW = 1_800_000_000.0
MAYA = Token("maya", frozenset({"read"}), "m" * 32)
DESK = Token("desk", frozenset({"read", "operate"}), "d" * 32)
TOKENS = (MAYA, DESK)


def test_a_session_is_of_the_token_that_began_it() -> None:
    assert sessions.holder(TOKENS, sessions.begin(DESK, NOW), NOW + 60) is DESK


def test_a_session_holds_no_secret() -> None:
    assert MAYA.secret not in sessions.begin(MAYA, NOW)


def test_a_session_ends_after_its_lifetime() -> None:
    cookie = sessions.begin(MAYA, NOW)

    assert sessions.holder(TOKENS, cookie, NOW + sessions.LIFETIME_SECONDS) is MAYA
    assert sessions.holder(TOKENS, cookie, NOW + sessions.LIFETIME_SECONDS + 1) is None


def test_a_session_of_the_time_to_come_is_none() -> None:
    assert sessions.holder(TOKENS, sessions.begin(MAYA, NOW), NOW - 1) is None


def test_a_changed_secret_ends_the_sessions_of_the_old_one() -> None:
    cookie = sessions.begin(MAYA, NOW)

    assert sessions.holder((Token("maya", MAYA.scopes, "n" * 32), DESK), cookie, NOW) is None
    assert sessions.holder((DESK,), cookie, NOW) is None


def test_two_tokens_of_one_name_both_have_sessions() -> None:
    newer = Token("maya", MAYA.scopes, "n" * 32)

    assert sessions.holder((MAYA, newer), sessions.begin(newer, NOW), NOW) is newer


@pytest.mark.parametrize("cookie", ["", ":", "::", "maya:1:x", "maya::x:y", "desk:٣:x:y", "maya:999999999999999:x:y"])
def test_other_text_is_no_session(cookie: str) -> None:
    assert sessions.holder(TOKENS, cookie, NOW) is None


def test_a_session_cannot_be_made_another_tokens_or_longer() -> None:
    name, began, nonce, signature = sessions.begin(MAYA, NOW).split(":")

    assert sessions.holder(TOKENS, f"desk:{began}:{nonce}:{signature}", NOW) is None
    assert sessions.holder(TOKENS, f"{name}:{int(began) + 60}:{nonce}:{signature}", NOW + 60) is None


def test_a_forms_key_is_of_one_session_alone() -> None:
    one, other = sessions.begin(MAYA, NOW), sessions.begin(MAYA, NOW)

    assert sessions.is_form_key(MAYA, one, sessions.form_key(MAYA, one))
    assert not sessions.is_form_key(MAYA, one, sessions.form_key(MAYA, other))
    assert not sessions.is_form_key(MAYA, one, "")
    assert sessions.form_key(MAYA, one) not in one
