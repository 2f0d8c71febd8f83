"""README's table of models is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from worker.providers import apimart, evolink, gmicloud
from worker.providers.model import ASKABLE, ModelRules

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_says_what_each_model_takes() -> None:
    between = re.search(r"<!-- models:.*?-->\n(.*?)<!-- /models -->", README.read_text(), re.DOTALL)

    assert between is not None
    assert between[1] == models_table()


def models_table() -> str:
    """The README's table, made from the rules: paste this when a model changes."""
    rows = [
        "| provider | model | also asked for as | takes (needed in bold) | limits | per second |",
        "|---|---|---|---|---|---|",
    ]
    for module in (gmicloud, evolink, apimart):
        rows += [_row(rules) for rules in module.MODELS.values()]
    return "\n".join(rows) + "\n"


def _row(rules: ModelRules) -> str:
    cells = (
        rules.provider,
        f"`{rules.name}`",
        ", ".join(f"`{name}`" for name in rules.answers_to),
        ", ".join(_taken(rules)),
        "; ".join(_limits(rules)),
        ", ".join(f"{amount} {rules.currency} {name}" for name, amount in rules.price_per_second.items()) or "unknown",
    )
    return f"| {' | '.join(cells)} |"


def _taken(rules: ModelRules) -> list[str]:
    needed = {name for group in rules.required if len(group) == 1 for name in group}
    either = {name for group in rules.required if len(group) > 1 for name in group}
    taken = [name for name in ASKABLE if name in rules.fields or (name == "shots" and rules.shot_marker)]
    marked = [f"**{name}**" if name in needed else f"{name}*" if name in either else name for name in taken]
    return [*marked, *([f"(*one of {', '.join(sorted(either))})"] if either else [])]


def _limits(rules: ModelRules) -> list[str]:
    lengths = [f"{name} {limit} characters" for name, limit in rules.lengths.items()]
    choices = [f"{name} {', '.join(values)}" for name, values in rules.choices.items()]
    images = (
        []
        if "first_frame" not in rules.fields or rules.takes_inline_images
        else ["`data:` images by way of the bucket"]
    )
    return [f"{rules.durations[0]} to {rules.durations[1]} s", *choices, *lengths, *images]
