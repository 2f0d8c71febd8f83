"""Clean-up of processes that an earlier run left behind.

The undertaker kills the children of a process that dies. Should it be killed
with its owner, each child still has a pid file beside its log, and the next
start ends it: two Valkeys on one append-only file would ruin it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
GONE_SECONDS = 5.0


def pid_file(directory: Path, name: str) -> Path:
    """The file that holds the pid of the process *name*."""
    return directory / f"{name}.pid"


def birth(pid: int) -> str:
    """*pid* with what tells it from any later process of the same number; empty where the system cannot say."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{pid} {after_name[19]} {BOOT_ID.read_text().strip()}"  # proc(5): field 22, the start time
    except OSError:
        return ""


def end_leftovers(directory: Path) -> list[str]:
    """Kill the process groups noted in *directory* by a run that is over; return `name (pid)` of each."""
    ended = []
    for file in sorted(directory.glob("*.pid")):
        pid = _leftover(file.read_text())
        if pid is not None:
            _kill_group(pid)
            ended.append(f"{file.stem} (pid {pid})")
        file.unlink(missing_ok=True)
    return ended


def _leftover(note: str) -> int | None:
    """The group that *note* tells of, if it is still there."""
    fields = note.split()
    if len(fields) != 3 or not BOOT_ID.exists() or fields[2] != BOOT_ID.read_text().strip():
        return None
    pid = int(fields[0])
    now = birth(pid)
    if now:
        return pid if now == note.strip() else None
    # The leader is dead, but a number stays taken while its group has members: they can only be ours.
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return None
    return pid


def _kill_group(pid: int) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)
