"""Every promise taken out of the code is missed by a test: the one that is named beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS
from tests.chaos.workshop import Mutant, Workshop

pytestmark = [pytest.mark.timeout(300)]

BY_NAME = [
    pytest.param(mutant, id=mutant.name, marks=[pytest.mark.subset] if mutant.is_quick else []) for mutant in MUTANTS
]


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    # not among what the tests leave behind, which is searched for secrets: the tests' own sources tell of many
    with tempfile.TemporaryDirectory() as directory:
        yield Workshop(Path(directory))


@pytest.mark.parametrize("mutant", BY_NAME)
def test_a_mutant_is_caught_by_its_test(workshop: Workshop, mutant: Mutant) -> None:
    with workshop.mutated(mutant):
        assert workshop.fails(mutant.test), f"{mutant.test} did not notice: {mutant.name}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_same_test_passes_on_the_sound_code(workshop: Workshop, mutant: Mutant) -> None:
    assert not workshop.fails(mutant.test)
