"""How specs are kept: whatever was given comes back, and prompts cost less than they are long."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.store.compression import pack, unpack

PROMPT = (
    "A corgi runs along the beach at dusk while waves break behind it; the camera follows low over the sand, "
    "gulls rise, a child in a yellow raincoat laughs out of frame, and the light turns from gold to deep blue. "
)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_spec_comes_back(prompt: str) -> None:
    text = json.dumps({"prompt": prompt}, ensure_ascii=False)

    assert unpack(pack(text)) == text


def test_a_prompt_costs_less_than_it_is_long() -> None:
    assert len(pack(f'{{"prompt":"{PROMPT}"}}')) < 0.8 * len(PROMPT)


def test_a_spec_that_was_kept_plain_is_read() -> None:
    assert unpack(b'{"model":"kling-3.0-turbo"}') == '{"model":"kling-3.0-turbo"}'


def test_what_was_packed_long_ago_is_read_for_ever() -> None:
    kept = bytes.fromhex("01235d8723b89e0337271373f2417564462ab4299258026da129d50200")

    text = unpack(kept)

    assert text == '{"duration":5,"model":"kling-3.0-turbo","prompt":"A dog runs along the beach at sunset"}'
