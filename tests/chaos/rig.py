"""The rig: what befalls a process at a named point, ordered by a test and kept as files that both can see.

A step changes the world only through `Services`, so every instruction at which a
crash can matter lies before or after a call of one of its parts. The points are
therefore put around those parts (`rigged.py`), in processes that tests start from a
module of their own: the shipped code holds no crash point, so none can be armed there.

A point's name: `before` or `after`, the part, the method; for a move its target, for a
claim the state that was claimed: `after store.attempts.begin`, `before store.jobs.move.archived`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from worker.errors import StoreError

KILL = "kill"  # the whole process with all its children, as a machine that goes down
KILL_CHILD = "kill-child"  # one pool process, as the kernel does when memory runs out
LOSE = "lose"  # what the store answered never arrives


def freeze(seconds: float) -> str:
    """The deed that stops a pool process, all its threads included, for *seconds*."""
    return f"freeze-{seconds:g}"


class Rig:
    """The orders of one system, in *directory*."""

    def __init__(self, directory: Path) -> None:
        self._armed = directory / "armed"
        self._sprung = directory / "sprung"
        for folder in (self._armed, self._sprung):
            folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, job_id: str, deed: str = KILL, *, times: int = 1) -> None:
        """Have *deed* done the next so many times that a process reaches *point* with the job."""
        for number in range(times):
            (self._armed / f"{point}@{job_id}@{deed}@{number}").touch()

    def disarm(self, job_id: str) -> None:
        for order in self._armed.glob(f"*@{job_id}@*"):
            order.unlink(missing_ok=True)

    def sprung(self, job_id: str) -> list[str]:
        """The points at which something was done to the job, in no order."""
        return [file.name.partition("@")[0] for file in self._sprung.glob(f"*@{job_id}@*")]

    def count(self) -> int:
        """The count of all acts."""
        return sum(1 for _ in self._sprung.iterdir())

    def reach(self, point: str, job_id: str) -> None:
        """Called by a rigged process: do what is ordered here, if anything is. An order is carried out once."""
        for order in sorted(self._armed.glob(f"{point}@{job_id}@*")):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                order.rename(self._sprung / f"{order.name}@{os.getpid()}")
                _deed(order.name.split("@")[2])()
                return


def _deed(name: str) -> Callable[[], None]:
    word, _, seconds = name.partition("-")
    if word == "freeze":
        return lambda: _freeze(float(seconds))
    return {KILL: _kill, KILL_CHILD: _kill_child, LOSE: _lose}[name]


def _kill() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _kill_child() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _lose() -> None:
    raise StoreError("the answer of Redis was lost on its way")


def _freeze(seconds: float) -> None:
    """Stop this process; a helper of its own session lets it go on."""
    pid = os.getpid()
    with subprocess.Popen(["/bin/sh", "-c", f"sleep {seconds:g}; kill -CONT {pid}"], start_new_session=True):
        os.kill(pid, signal.SIGSTOP)
