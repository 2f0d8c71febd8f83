"""One child process, from its start to the last of what it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.health import log_says
from deploy.local.leftovers import end_leftovers
from deploy.local.processes import Process
from tests.conftest import WaitUntil
from worker.errors import LocalError

MakeProcess = Callable[..., Process]


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[MakeProcess]:
    """A process that runs a shell line; it is ready once it has said so."""
    made = []

    def make(line: str, name: str = "child", **more: float) -> Process:
        made.append(
            Process(
                name,
                ["/bin/sh", "-c", line],
                directory=tmp_path,
                logs=tmp_path,
                env={"PATH": os.defpath},
                is_ready=log_says("ready"),
                **more,  # type: ignore[arg-type]  # only numbers are given
            )
        )
        return made[-1]

    yield make
    for process in made:
        process.kill()


def test_a_child_that_ends_while_starting_is_named_and_its_log_quoted(make_process: MakeProcess) -> None:
    child = make_process("echo the disk is full >&2; exit 3", name="archiver")

    with pytest.raises(LocalError, match=r"archiver ended with status 3 while starting; .*ends: the disk is full"):
        child.start()


def test_a_child_that_never_gets_ready_is_given_up_and_gone(make_process: MakeProcess) -> None:
    child = make_process("exec sleep 600", ready_seconds=0.2)

    with pytest.raises(LocalError, match=r"child was not ready after 0.2 s"):
        child.start()

    assert not child.is_running


def test_a_program_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    child = Process(
        "valkey", ["/nonexistent"], directory=tmp_path, logs=tmp_path, env={}, is_ready=log_says("ready")
    )  # fmt: skip

    with pytest.raises(LocalError, match=r"valkey cannot be started: .*No such file"):
        child.start()


def test_stop_lets_a_child_finish_in_order(make_process: MakeProcess) -> None:
    child = make_process("trap 'echo gave back; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    child.start()

    child.stop()

    assert "gave back" in child.output()
    assert child.fate == "ended with status 0"


def test_stop_ends_a_deaf_child_by_force_after_its_time(make_process: MakeProcess) -> None:
    child = make_process("trap '' TERM; echo ready; while :; do sleep 0.05; done", stop_seconds=0.1)
    child.start()

    child.stop()

    assert child.fate == "was killed by SIGKILL"


def test_somebody_in_a_hurry_does_not_wait_the_whole_time(make_process: MakeProcess) -> None:
    child = make_process("trap '' TERM; echo ready; while :; do sleep 0.05; done", stop_seconds=3600)
    child.start()

    child.terminate()
    child.wait_until_ended(hurried=lambda: True)

    assert not child.is_running


def test_nothing_that_a_killed_child_started_is_left(make_process: MakeProcess, wait_until: WaitUntil) -> None:
    child = make_process("sleep 600 & echo grandchild $!; echo ready; wait")
    child.start()
    grandchild = int(child.output().split()[1])

    os.kill(child.pid, signal.SIGKILL)  # the leader alone, as a crash would
    wait_until(lambda: not child.is_running)

    wait_until(lambda: not _is_alive(grandchild))


def test_a_stopped_child_leaves_no_pid_file(make_process: MakeProcess, tmp_path: Path) -> None:
    child = make_process("echo ready; exec sleep 600")
    child.start()
    assert (tmp_path / "child.pid").exists()

    child.stop()

    assert not (tmp_path / "child.pid").exists()


OWNER = """
import json, os, sys, time
from pathlib import Path
from deploy.local.health import log_says
from deploy.local.processes import Process
from deploy.local.orphans import undertaker
here = Path(sys.argv[1])
child = Process("child", ["/bin/sh", "-c", "sleep 600 & echo ready; wait"], directory=here, logs=here,
                env={"PATH": os.defpath}, is_ready=log_says("ready"))
child.start()
print(json.dumps([child.pid, undertaker().pid]), flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns a child, as a supervisor does."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_nothing_outlives_the_kill_of_its_owner(owner: subprocess.Popen[str], wait_until: WaitUntil) -> None:
    assert owner.stdout is not None
    child, _ = json.loads(owner.stdout.readline())

    owner.kill()

    wait_until(lambda: not _group_exists(child))


def test_the_next_start_ends_what_even_the_undertaker_could_not(
    owner: subprocess.Popen[str], tmp_path: Path, wait_until: WaitUntil
) -> None:
    assert owner.stdout is not None
    child, undertaker = json.loads(owner.stdout.readline())
    os.kill(undertaker, signal.SIGKILL)
    owner.kill()
    owner.wait()
    assert _group_exists(child)

    ended = end_leftovers(tmp_path)

    assert ended == [f"child (pid {child})"]
    wait_until(lambda: not _group_exists(child))


def test_a_process_that_only_has_the_number_of_ours_is_let_live(make_process: MakeProcess, tmp_path: Path) -> None:
    stranger = make_process("echo ready; exec sleep 600")
    stranger.start()
    note = tmp_path / "child.pid"
    pid, born, boot = note.read_text().split()
    note.write_text(f"{pid} {int(born) - 1} {boot}")

    ended = end_leftovers(tmp_path)

    assert ended == []
    assert stranger.is_running
    assert not note.exists()


@pytest.mark.parametrize("note", ["", "garbage", "1 2 3", "12 x another-boot"])
def test_a_pid_file_that_says_nothing_sure_harms_nobody(tmp_path: Path, note: str) -> None:
    (tmp_path / "worker.pid").write_text(note)

    assert end_leftovers(tmp_path) == []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _group_exists(group: int) -> bool:
    return any(int(fields[2]) == group and fields[0] != "Z" for fields in _stats())


def _stats() -> Iterator[list[str]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            yield path.read_text().rpartition(")")[2].split()
