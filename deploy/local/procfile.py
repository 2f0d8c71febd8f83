"""The project's own Procfile: which processes a deployment runs, one shell line each."""

from __future__ import annotations

import re
from pathlib import Path

from worker.errors import LocalError

LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")


def read_procfile(path: Path) -> dict[str, str]:
    """The shell line of each process, in the file's order."""
    try:
        lines = path.read_text().splitlines()
    except OSError as err:
        raise LocalError(
            f"{path} cannot be read ({err.strerror}): run Callsheet from a checkout of its source"
        ) from err
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or match[1] in found:
            raise LocalError(f"{path} line {number} is not a new `name: command`")
        found[match[1]] = match[2]
    return found
