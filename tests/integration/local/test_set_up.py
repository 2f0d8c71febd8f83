"""`make` on a machine that lacks something: one clear line, and no set-up that only looks done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What the machine's python3 does, as a shell sees it: $1 and $2 are its first arguments.
BREAKS_OFF = """\
[ "$1" = -m ] || exit 0
mkdir -p .venv/bin
printf '#!/bin/sh\nexit 9\n' > .venv/bin/python
chmod +x .venv/bin/python"""
TOO_OLD = 'case "$2" in *version_info*) exit 1;; esac; [ "$1" = -V ] && echo Python 3.9.2; exit 0'
WITHOUT_VENV = 'case "$2" in *venv*) echo "No module named venv" >&2; exit 1;; esac'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("python", "complaint"),
    [
        (None, "python3 is not there: apt install python3 python3-venv"),
        (TOO_OLD, "Python 3.11 or newer is needed, this is Python 3.9.2: name one with make PYTHON=python3.12"),
        (WITHOUT_VENV, "Python's venv module is not there: apt install python3-venv"),
    ],
)
def test_what_is_missing_is_said_in_one_line(checkout: Path, python: str | None, complaint: str) -> None:
    made = _make(checkout, python)

    lines = [line for line in made.stderr.splitlines() if not line.startswith("make: ***")]
    assert made.returncode == 2
    assert [line.replace(str(checkout / "bin") + "/", "") for line in lines] == [complaint]


def test_a_set_up_that_was_interrupted_leaves_no_stamp(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".stamp"
    stamp.parent.mkdir()
    stamp.touch()
    os.utime(stamp, (0, 0))

    made = _make(checkout, BREAKS_OFF)

    assert made.returncode == 2
    assert not stamp.exists()


def test_help_is_the_default_and_lists_every_verb(checkout: Path) -> None:
    verbs = list(dict.fromkeys(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)))

    made = subprocess.run(["make"], cwd=checkout, capture_output=True, text=True, check=True)

    assert [line.split()[1] for line in made.stdout.splitlines()] == verbs
    assert all(len(line.split()) > 3 for line in made.stdout.splitlines())


def test_the_lock_holds_hashes_and_no_url() -> None:
    lock = (ROOT / "constraints.txt").read_text()

    assert "://" not in lock
    assert re.findall(r"^[a-z0-9_.-]+==[^\\\n]*$", lock, re.MULTILINE) == []


def _make(checkout: Path, python: str | None) -> subprocess.CompletedProcess[str]:
    """`make .venv/.stamp` with *python* as the machine's python3; None: it has none."""
    tools = checkout / "bin"
    tools.mkdir()
    if python is not None:
        script = tools / "python3"
        script.write_text(f"#!/bin/sh\n{python}\n")
        script.chmod(0o755)
    return subprocess.run(
        ["make", f"PYTHON={tools / 'python3'}", ".venv/.stamp"], cwd=checkout, capture_output=True, text=True
    )
