"""`callsheet up`: the whole system as people start it, stop it and crash it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import requests

from tests.acceptance.conftest import Stage
from tests.acceptance.system import alive
from tests.conftest import WaitUntil

UP_SECONDS = 60
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
PARTS = ["valkey", "s3", "sandbox", "web", "console", "worker", "archiver", "sweeper", "beat", "flower"]

Up = Callable[[Path], "Running"]


@dataclass(frozen=True)
class Running:
    """`callsheet up` in the shell's place, with all its data in *data*."""

    process: subprocess.Popen[str]
    data: Path

    @cached_property
    def shown(self) -> str:
        """Its output until it is up."""
        return self.read_until("for a shell")

    def read_until(self, words: str) -> str:
        """Its next output, up to the line with *words*."""
        assert self.process.stdout is not None
        deadline, lines = time.monotonic() + UP_SECONDS, ""
        while words not in lines:
            assert time.monotonic() < deadline, lines
            line = self.process.stdout.readline()
            assert line, f"it ended: {lines}"
            lines += line
        return lines

    def groups(self) -> dict[str, int]:
        """The process group of each running part, as noted beside its log."""
        found = {}
        for file in (self.data / "logs").glob("*.pid"):
            with contextlib.suppress(FileNotFoundError, IndexError):  # it ends, or it has just begun
                found[file.stem] = int(file.read_text().split()[0])
        return found


def start(data: Path) -> Running:
    process = subprocess.Popen(
        ["callsheet", "up", "--data", str(data)],
        env={"PATH": PATH, "HOME": str(data.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return Running(process, data)


def end(running: Running) -> None:
    """Whatever became of it: its undertaker ends what it started."""
    running.process.kill()
    running.process.communicate()


def begin(stage: Stage) -> Running:
    """One that comes up beside everything else."""
    running = start(stage.directory / "up")
    stage.exits.callback(end, running)
    return running


@pytest.fixture
def up() -> Iterator[Up]:
    """Start another."""
    started = []

    def run(data: Path) -> Running:
        started.append(start(data))
        return started[-1]

    yield run
    for running in started:
        end(running)


@pytest.fixture
def running(begun: Running, up: Up, tmp_path: Path) -> Running:
    """A system that is up."""
    system = begun if begun.process.poll() is None else up(tmp_path / "another")
    assert "callsheet is up" in system.shown
    return system


def test_up_shows_where_everything_is(running: Running) -> None:
    urls = dict(re.findall(r"^ +(\w+) +(https?://\S+)", running.shown, re.MULTILINE))
    password = json.loads((running.data / "secrets.json").read_text())["flower_password"]

    ready = requests.get(f"{urls['receiver']}/ready", verify=str(running.data / "tls" / "ca.pem"), timeout=5)
    workers = requests.get(f"{urls['Flower']}/workers", auth=("callsheet", password), timeout=5)
    refused = requests.get(f"{urls['Flower']}/workers", timeout=5)

    assert [ready.status_code, workers.status_code, refused.status_code] == [200, 200, 401]
    assert sorted(running.groups()) == sorted(PARTS)


def test_a_second_up_is_refused_in_one_line(running: Running, up: Up) -> None:
    second = up(running.data)

    output, _ = second.process.communicate(timeout=UP_SECONDS)

    assert second.process.returncode == 1
    assert f"is in use by the local system with pid {running.process.pid}: stop that one" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_a_killed_worker_is_named_and_comes_back(running: Running, wait_until: WaitUntil) -> None:
    first = running.groups()["worker"]

    os.killpg(first, signal.SIGKILL)

    assert f"worker (pid {first}) was killed by SIGKILL" in running.read_until("starting it again")
    wait_until(lambda: running.groups().get("worker", first) != first, 30)


def test_after_a_kill_nothing_lingers_and_the_next_up_works_and_ctrl_c_stops_it_in_order(
    running: Running, up: Up, wait_until: WaitUntil
) -> None:
    crashed = running.groups()

    running.process.kill()
    wait_until(lambda: alive(crashed.values()) == [], 30)
    following = up(running.data)
    shown, groups = following.shown, following.groups()
    following.process.send_signal(signal.SIGINT)
    rest, _ = following.process.communicate(timeout=UP_SECONDS)

    assert "callsheet is up" in shown
    assert sorted(groups) == sorted(PARTS)
    assert rest.splitlines() == ["stopping in order; Ctrl-C again hurries it", "stopped"]
    assert following.process.returncode == 0
    assert alive(groups.values()) == []
    assert not (following.data / "env").exists()


def test_ctrl_c_while_starting_leaves_nothing_running(up: Up, tmp_path: Path, wait_until: WaitUntil) -> None:
    starting = up(tmp_path / "data")
    wait_until(lambda: "web" in starting.groups(), UP_SECONDS)
    groups = starting.groups()

    starting.process.send_signal(signal.SIGINT)
    rest, _ = starting.process.communicate(timeout=UP_SECONDS)

    assert starting.process.returncode == 0
    assert "is up" not in rest
    assert alive(groups.values()) == []
