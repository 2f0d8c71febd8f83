"""An error that meets a person at a command line says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.cli import main

ROOT = Path(__file__).parents[3]


def listed() -> str:
    done = CliRunner().invoke(main, ["list"], prog_name="callsheet")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_missing_variables_lead_to_their_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    shown = listed()

    assert "CALLSHEET_REDIS_URL is not set" in shown
    assert shown.endswith("deploy/env.example explains each\n")


def test_beside_a_running_local_system_its_environment_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".callsheet").mkdir()
    (tmp_path / ".callsheet" / "env").touch()
    monkeypatch.chdir(tmp_path)

    assert listed().endswith("for the local system: set -a; . .callsheet/env; set +a\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "worker.cli", "doctor"],
            env={},
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert done.returncode == 1
    assert done.stderr == "Error: No space left on device: output\n"
