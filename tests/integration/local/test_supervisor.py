"""Several processes kept as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.health import log_says
from deploy.local.processes import Process
from deploy.local.supervisor import Supervisor
from tests.conftest import WaitUntil
from worker.errors import LocalError

MakeProcess = Callable[[str, str], Process]
IDLE = "echo ready; exec sleep 600"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    one = Supervisor(said.append)
    yield one
    one.stop()


@pytest.fixture
def make_process(tmp_path: Path) -> MakeProcess:
    def make(name: str, line: str = IDLE) -> Process:
        return Process(
            name,
            ["/bin/sh", "-c", line],
            directory=tmp_path,
            logs=tmp_path,
            env={"PATH": os.defpath},
            is_ready=log_says("ready"),
        )

    return make


def test_the_dead_is_restarted_and_named(
    supervisor: Supervisor, make_process: MakeProcess, said: list[str], wait_until: WaitUntil
) -> None:
    supervisor.start(make_process("web", IDLE))
    supervisor.start(make_process("worker", IDLE))
    supervisor.watch()
    first = supervisor.processes["worker"].pid

    supervisor.processes["worker"].kill()
    wait_until(lambda: supervisor.processes["worker"].is_running and supervisor.processes["worker"].pid != first)

    assert len(said) == 1
    assert said[0].startswith(f"worker (pid {first}) was killed by SIGKILL; starting it again in 0.5 s;")


def test_a_process_that_keeps_dying_is_restarted_later_each_time(
    supervisor: Supervisor, make_process: MakeProcess, said: list[str], wait_until: WaitUntil
) -> None:
    supervisor.start(make_process("worker", "echo ready; sleep 0.1; exit 1"))
    supervisor.watch()

    wait_until(lambda: len(said) >= 3)

    assert ["in 0.5 s" in said[0], "in 1 s" in said[1], "in 2 s" in said[2]] == [True, True, True]


def test_all_is_stopped_in_reverse_order(supervisor: Supervisor, make_process: MakeProcess, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name in ("valkey", "web", "worker"):
        supervisor.start(
            make_process(name, f"trap 'echo {name} >> {order}; exit' TERM; echo ready; while :; do sleep 0.02; done")
        )

    supervisor.stop()

    assert order.read_text().split() == ["worker", "web", "valkey"]


def test_what_was_stopped_is_not_restarted(supervisor: Supervisor, make_process: MakeProcess, said: list[str]) -> None:
    child = make_process("worker", IDLE)
    supervisor.start(child)
    supervisor.watch()

    supervisor.stop()

    assert not child.is_running
    assert said == []


def test_a_start_that_was_cancelled_waits_no_longer(make_process: MakeProcess) -> None:
    supervisor = Supervisor(print, cancelled=lambda: True)

    with pytest.raises(KeyboardInterrupt):
        supervisor.start(make_process("worker", "exec sleep 600"))

    supervisor.stop()


def test_a_tier_that_fails_says_which_process_it_was(supervisor: Supervisor, make_process: MakeProcess) -> None:
    with pytest.raises(LocalError, match="beat ended with status 7"):
        supervisor.start(make_process("worker", IDLE), make_process("beat", "exit 7"))
