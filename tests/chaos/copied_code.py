"""The code that a system of tests runs: a copy of the tree, started by its own Procfile with rigged parts."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.local.procfile import read_procfile
from deploy.local.sandbox_process import SOURCE
from tests.chaos.rigged import RIG_VARIABLE

PARTS = ("worker", "webhook", "deploy", "tests/chaos", "Procfile")


def copy_of_the_code(directory: Path) -> Path:
    """The code as it is now: what somebody writes meanwhile must not reach processes that are started later."""
    for part in PARTS:
        source, target = SOURCE / part, directory / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return directory


def rigged_procfile(code: Path, rig: Path) -> str:
    """The project's own Procfile, with the rigged worker and receiver in place of the shipped ones."""
    lines = []
    for name, line in read_procfile(code / "Procfile").items():
        line = line.replace("celery -A worker worker", "celery -A tests.chaos.rigged_worker worker")
        line = line.replace("webhook.wsgi:application()", "tests.chaos.rigged_web:application()")
        lines.append(f"{name}: cd '{code}' && {RIG_VARIABLE}='{rig}' {line}\n")
    return "".join(lines)
