"""README's table of models is the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from worker.operations.models import COLUMNS, row
from worker.providers import ADAPTERS
from worker.providers.catalogue.files import shipped

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_says_what_each_model_takes() -> None:
    between = re.search(r"<!-- models:.*?-->\n(.*?)<!-- /models -->", README.read_text(), re.DOTALL)

    assert between is not None
    assert between[1] == models_table()


def models_table() -> str:
    """The README's table, made from the catalogue: paste this when a model changes."""
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    rows += [row(rules) for name in ADAPTERS for rules in shipped()[name].models.values()]
    return "".join(f"| {' | '.join(_marked(cells))} |\n" for cells in rows)


def _marked(cells: tuple[str, ...]) -> list[str]:
    """Names of models as code."""
    if cells[0] not in ADAPTERS:
        return list(cells)
    names = [f"`{name}`" for name in cells[2].split(", ") if name]
    return [cells[0], f"`{cells[1]}`", ", ".join(names), *cells[3:]]
