"""A workshop for mutants: a copy of the tree, with one of them in it at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.sandbox_process import SOURCE

PARTS = ("worker", "webhook", "deploy", "tests", "Procfile", "pyproject.toml")
LUA = "worker/store/lua"
STORE = "tests/integration/store"
STEPS = "tests/integration/steps"


@dataclass(frozen=True)
class Mutant:
    """`old` (once in `file`) becomes `new`; `test` must notice."""

    name: str
    file: str
    old: str
    new: str
    test: str
    is_quick: bool = False


def mutant(name: str, file: str, old: str, new: str, test: str, quick: bool = False) -> Mutant:
    return Mutant(name, file, old, new, test, quick)


class Workshop:
    """A copy of the tree in *directory* in which mutants are tried, one at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for part in PARTS:
            source, target = SOURCE / part, directory / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        file = self.directory / mutant.file
        sound = file.read_text()
        assert mutant.old in sound, f"the mutant '{mutant.name}' no longer fits {mutant.file}: write it anew"
        file.write_text(sound.replace(mutant.old, mutant.new, 1))
        try:
            yield
        finally:
            file.write_text(sound)

    def fails(self, test: str) -> bool:
        """Whether *test* fails in the copy; an error of pytest itself is none."""
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "--timeout=60", "-p", "no:cacheprovider", test],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert run.returncode in (0, 1), f"{test}: {run.stdout[-2000:]}{run.stderr[-2000:]}"
        return run.returncode == 1
