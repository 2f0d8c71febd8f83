"""CALLSHEET_API_TOKENS, read strictly."""

from __future__ import annotations

import pytest

from worker.settings.tokens import tokens

SECRET = "s" * 32


def test_tokens_are_read_with_their_scopes() -> None:
    [first, second] = tokens(f"backend:read+submit:{SECRET}, ops:operate:{'t' * 40}")

    assert (first.name, first.scopes, first.secret) == ("backend", frozenset({"read", "submit"}), SECRET)
    assert (second.name, second.scopes) == ("ops", frozenset({"operate"}))


def test_a_secret_does_not_show_in_a_repr() -> None:
    assert SECRET not in repr(tokens(f"backend:read:{SECRET}"))


def test_one_name_may_have_an_old_and_a_new_secret() -> None:
    assert [token.name for token in tokens(f"a:read:{SECRET},a:read:{'t' * 32}")] == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SECRET, "token 1 is not"),
        (f"a b:read:{SECRET}", "token 1 is not"),
        (f"a:read:{SECRET}:more", "token 1 is not"),
        (f"a:write:{SECRET}", "a scope that there is not"),
        (f"a::{SECRET}", "a scope that there is not"),
        (f"a:read:{'s' * 31}", "too short"),
        (f"a:read:{'s' * 32}é", "other characters"),
        (f"a:read:{SECRET},b:read:{SECRET}", "one secret twice"),
    ],
)
def test_a_bad_token_is_refused_without_its_secret(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        tokens(text)

    assert SECRET[:31] not in str(refused.value)
