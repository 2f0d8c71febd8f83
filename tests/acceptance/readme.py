"""README.md as its readers copy from it: the code blocks, unchanged."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    """Every fenced block of *language*, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def block(language: str, holding: str) -> str:
    """The one block of *language* in which *holding* stands."""
    [found] = [text for text in blocks(language) if holding in text]
    return found


def command(start: str) -> str:
    """The one command between backticks that begins with *start*."""
    found: list[str] = re.findall(rf"`({re.escape(start)}[^`]*)`", (ROOT / "README.md").read_text())
    [only] = found
    return only
