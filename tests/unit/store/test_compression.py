"""The stored form of specs: every spec comes back, and prompts cost less than they are long."""

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
    assert len(pack(f'{{"prompt":"{PROMPT}"}}')) < 0.85 * len(PROMPT)


def test_nothing_is_kept_as_nothing() -> None:
    assert (pack(""), unpack(b"")) == (b"", "")


def test_a_short_spec_is_kept_readable() -> None:
    assert pack('{"model":"m"}') == b'{"model":"m"}'
    assert unpack(b'{"model":"m"}') == '{"model":"m"}'
