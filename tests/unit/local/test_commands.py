"""The commands of the local system: private by default, and clear about the extra that they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from worker.cli import main
main({arguments!r}, prog_name="callsheet")
"""


def without(missing: list[str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing, arguments=list(arguments))],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["up", "demo", "sandbox"])
def test_a_command_whose_extra_is_not_installed_names_it(command: str, tmp_path: Path) -> None:
    done = without(["trustme"], command, cwd=tmp_path)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert done.stderr.startswith("Error: trustme is not installed: this command needs the extra `local`")
    assert "callsheet[local]" in done.stderr


def test_a_missing_module_of_our_own_is_no_missing_extra(tmp_path: Path) -> None:
    done = without(["deploy.local.signals"], "up", cwd=tmp_path)

    assert "extra" not in done.stderr
    assert "deploy.local.signals" in done.stderr
