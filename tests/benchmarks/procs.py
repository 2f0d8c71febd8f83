"""CPU seconds and memory of everything that a process group's leader started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from deploy.local.processes import Process

TICKS = os.sysconf("SC_CLK_TCK")
SESSION, USER_TICKS, SYSTEM_TICKS, REAPED_USER, REAPED_SYSTEM = 3, 11, 12, 13, 14
"""Places in /proc/<pid>/stat behind the command's closing bracket."""


def members(session: int) -> Iterator[tuple[Path, list[str]]]:
    """The processes of one session, and the fields of their `stat`."""
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            with suppress(OSError):
                stat = (directory / "stat").read_text().rpartition(")")[2].split()
                if int(stat[SESSION]) == session:
                    yield directory, stat


def cpu_seconds(session: int) -> float:
    """CPU time of a session since it began, its ended children included."""
    fields = (USER_TICKS, SYSTEM_TICKS, REAPED_USER, REAPED_SYSTEM)
    return sum(int(stat[name]) for _, stat in members(session) for name in fields) / TICKS


def memory_mb(session: int) -> tuple[float, float, int]:
    """Resident and proportional memory of a session, in MB, and how many processes it has."""
    rss = pss = count = 0
    for directory, _ in members(session):
        with suppress(OSError):
            said = dict(line.split(":", 1) for line in (directory / "smaps_rollup").read_text().splitlines()[1:])
            rss += int(said["Rss"].split()[0])
            pss += int(said["Pss"].split()[0])
            count += 1
    return rss / 1024, pss / 1024, count


class Meter:
    """CPU seconds of the named processes since the meter was made."""

    def __init__(self, processes: Mapping[str, Process]) -> None:
        self._processes = dict(processes)
        self._before = self._now()

    def read(self) -> dict[str, float]:
        return {name: used - self._before[name] for name, used in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: cpu_seconds(process.pid) for name, process in self._processes.items()}
