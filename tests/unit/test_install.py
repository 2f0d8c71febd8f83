"""An installation's modules on other people's Python path, and its words when one of theirs is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_namespace_packages

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_package_worker_of_the_user_s_own_is_met_with_words(kind: str, tmp_path: Path) -> None:
    if kind == "package":
        (tmp_path / "worker").mkdir()
        (tmp_path / "worker" / "__init__.py").touch()
    else:
        (tmp_path / "worker.py").touch()

    done = run("-m", "callsheet", "list", cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"Error: Python finds another `worker` before Callsheet's, at {tmp_path}/worker")


def test_the_command_starts_where_nothing_is_in_the_way(tmp_path: Path) -> None:
    done = run("-m", "callsheet", "--version", cwd=tmp_path, PYTHONPATH=str(ROOT))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("callsheet, version ")


def test_another_celery_application_in_the_same_environment_meets_no_settings_of_ours(tmp_path: Path) -> None:
    code = "from celery import current_app; print(current_app.conf.broker_url)"

    done = run("-c", code, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def test_celery_finds_our_settings_in_a_checkout() -> None:
    code = "from celery import current_app; print(current_app.conf.task_default_queue)"
    env = {"CALLSHEET_REDIS_URL": "redis://h", "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "key"}

    done = run("-c", code, cwd=ROOT, **env)

    assert (done.returncode, done.stdout) == (0, "callsheet\n"), done.stderr


def test_only_the_command_is_installed_directly_on_the_path() -> None:
    assert PROJECT["tool"]["setuptools"]["py-modules"] == ["callsheet"]
    assert sorted(file.name for file in ROOT.glob("*.py")) == ["callsheet.py", "celeryconfig.py"]


def test_the_client_is_a_distribution_of_its_own() -> None:
    found = PROJECT["tool"]["setuptools"]["packages"]["find"]

    packages = find_namespace_packages(str(ROOT), include=found["include"], exclude=found["exclude"])

    assert {name for name in packages if name.startswith("deploy.client")} == set()
    assert "deploy.local" in packages
