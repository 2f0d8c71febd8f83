"""Counters are a closed list: each has a sentence, and is counted somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest

from worker.store.counters import Counter, Counters

ROOT = Path(__file__).parents[3]
SOURCES = [
    source.read_text()
    for folder in ("worker", "webhook")
    for source in (ROOT / folder).rglob("*.py")
    if source.name != "counters.py"
]


@pytest.mark.parametrize("counter", Counter)
def test_every_counter_is_counted_by_somebody(counter: Counter) -> None:
    assert any(f"Counter.{counter.name}" in source for source in SOURCES)


@pytest.mark.parametrize("counter", Counter)
def test_every_counter_says_in_a_line_what_it_tells(counter: Counter) -> None:
    assert (counter.name.lower(), "\n" in counter.sentence) == (counter.value, False)
    assert counter.sentence


def test_a_misspelt_counter_is_an_error_of_types() -> None:
    assert get_type_hints(Counters.add)["counter"] is Counter
