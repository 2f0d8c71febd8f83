"""The printing of commands: JSON for programs, text for people, nothing that a terminal could obey."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from worker.guard.text import printable


def emit_json(document: Mapping[str, Any]) -> None:
    """One document on one line of stdout; ASCII, so no terminal can obey what came from outside."""
    click.echo(json.dumps(document, separators=(",", ":"), default=str))


def fields(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns; an empty name goes on with the value above."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {printable(value)}".rstrip() for name, value in pairs)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Columns as wide as their content; with *width*, lines are cut there and the cut is shown."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(head))]
    lines = ("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(cut(line, width) for line in lines)


def cut(line: str, width: int | None) -> str:
    """*line* within *width* columns."""
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None for a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
