"""A shell with an environment of its own: what it runs sees nothing of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.procfile import read_procfile
from tests.acceptance.readme import ROOT

PATIENCE_SECONDS = 60
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])
LINES = read_procfile(ROOT / "Procfile")

__all__ = ["LINES", "PATH", "ROOT", "run"]


def run(line: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *line* to its end, with *env* and the way to the commands."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env={"PATH": PATH, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
