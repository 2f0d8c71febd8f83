"""`MATRIX.md` tells of every cell of the fault matrix, and names only tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from deploy.local.sandbox_process import SOURCE

pytestmark = pytest.mark.subset

MATRIX = Path(__file__).parent / "MATRIX.md"
ROWS = {"P": 7, "S": 20, "R": 20, "O": 7, "L": 13, "A": 20, "N": 2, "D": 9, "Q": 9, "V": 8, "X": 4}
CELLS = [f"{row}{number}" for row, count in ROWS.items() for number in range(1, count + 1)]
STATES = {"pass", "replaced-by", "later", "not proven", "fails"}


def told() -> list[tuple[str, str, list[str]]]:
    """Each cell with its state and the ids of its tests."""
    rows = (line.split(" | ") for line in MATRIX.read_text().splitlines() if re.match(r"\| [A-Z]\d", line))
    return [(row[0].strip("| "), row[2], re.findall(r"`([^`]+::[^`]+)`", row[3])) for row in rows]


@cache
def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_cell_stands_in_the_matrix_once() -> None:
    assert [cell for cell, _, _ in told()] == CELLS


def test_a_cell_is_proven_by_tests_that_exist_or_says_that_it_is_not() -> None:
    missing = [
        (cell, test)
        for cell, _, tests in told()
        for test in tests
        if test.partition("::")[2] not in names_in(SOURCE / test.partition("::")[0])
    ]

    assert missing == []
    assert {state for _, state, _ in told()} <= STATES
    for cell, state, tests in told():
        assert bool(tests) == (state in ("pass", "replaced-by")), cell


def test_a_cell_passes_by_a_test_of_this_folder() -> None:
    for cell, state, tests in told():
        if state == "pass":
            assert tests[0].startswith("tests/chaos/"), cell
