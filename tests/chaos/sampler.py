"""The memory of a system's parts, read from the operating system and from Redis."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import redis

from tests.chaos.history import Sample
from tests.chaos.system import System

PARTS = ("web", "console", "worker", "archiver", "sweeper", "beat", "flower")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PARENT_FIELD, GROUP_FIELD = 1, 2
"""Where, behind the name in parentheses, /proc/<pid>/stat tells the parent and the process group."""


def sample(system: System) -> list[Sample]:
    """The largest process of each part now, and Redis."""
    groups = {system.stack.processes[name].pid: name for name in PARTS if name in system.stack.processes}
    found: defaultdict[str, int] = defaultdict(int)
    for process in _processes():
        if name := groups.get(_group_of(process)):
            found[name] = max(found[name], _resident_bytes(process))
    samples = [Sample(name, held) for name, held in found.items() if held]
    try:
        with redis.Redis.from_url(system.redis.url) as client:
            info: Any = client.info("memory")
    except redis.RedisError:
        return samples  # it is away just now
    return [*samples, Sample("redis", int(info["used_memory"]))]


def arguments(system: System) -> str:
    """The processes' command lines, as anybody on the machine can read them."""
    groups = {process.pid for process in system.stack.processes.values()}
    lines = [_read(process / "cmdline") for process in _processes() if _group_of(process) in groups]
    return "\n".join(line.replace("\0", " ") for line in lines)


def children_of(pid: int) -> set[int]:
    """The processes that *pid* has started and that run."""
    return {int(process.name) for process in _processes() if _stat(process, PARENT_FIELD) == pid}


def _processes() -> list[Path]:
    return [process for process in Path("/proc").iterdir() if process.name.isdecimal()]


def _group_of(process: Path) -> int:
    return _stat(process, GROUP_FIELD)


def _stat(process: Path, field: int) -> int:
    fields = _read(process / "stat").rpartition(") ")[2].split()
    return int(fields[field]) if len(fields) > field else 0


def _resident_bytes(process: Path) -> int:
    fields = _read(process / "statm").split()
    return int(fields[1]) * PAGE_BYTES if len(fields) > 1 else 0


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""  # it has ended meanwhile
