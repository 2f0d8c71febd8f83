"""The documents as their readers copy from them: the code blocks, unchanged."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def block(language: str, holding: str, document: str = "README.md") -> str:
    """The one fenced block of *language* in *document* in which *holding* stands."""
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE
    )
    [found] = [text for text in blocks if holding in text]
    return found


def command(start: str) -> str:
    """The one command between backticks that begins with *start*."""
    found: list[str] = re.findall(rf"`({re.escape(start)}[^`]*)`", (ROOT / "README.md").read_text())
    [only] = found
    return only
