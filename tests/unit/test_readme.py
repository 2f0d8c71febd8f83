"""The tables of models in the documents are the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.operations.models import COLUMNS, row
from worker.providers import ADAPTERS
from worker.providers.catalogue.files import shipped
from worker.providers.model import ModelRules

ROOT = Path(__file__).parents[2]


def neutral_table() -> str:
    """Each neutral name with the models that answer to it: paste this into README.md when a model changes."""
    rows: list[tuple[str, ...]] = [("asked for as", "made by"), ("---",) * 2]
    names = sorted({name for rules in all_rules() for name in rules.answers_to})
    for asked in names:
        made_by: dict[str, list[str]] = {}
        for rules in all_rules():
            if asked in (rules.name, *rules.answers_to):
                made_by.setdefault(rules.provider, []).append(f"`{rules.name}`")
        rows.append((f"`{asked}`", "; ".join(f"{name} ({', '.join(models)})" for name, models in made_by.items())))
    return as_text(rows)


def whole_table() -> str:
    """Every model: paste this into worker/providers/MODELS.md when one changes."""
    return as_text([COLUMNS, ("---",) * len(COLUMNS), *(marked(row(rules)) for rules in all_rules())])


@pytest.mark.parametrize(
    ("document", "table"), [("README.md", neutral_table), ("worker/providers/MODELS.md", whole_table)]
)
def test_a_document_says_what_the_catalogue_says(document: str, table: Callable[[], str]) -> None:
    between = re.search(r"<!-- models:.*?-->\n(.*?)<!-- /models -->", (ROOT / document).read_text(), re.DOTALL)

    assert between is not None
    assert between[1] == table()


def all_rules() -> list[ModelRules]:
    return [rules for name in ADAPTERS for rules in shipped()[name].models.values()]


def marked(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Names of models as code."""
    names = [f"`{name}`" for name in cells[2].split(", ") if name]
    return (cells[0], f"`{cells[1]}`", ", ".join(names), *cells[3:])


def as_text(rows: list[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
