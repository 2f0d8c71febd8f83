"""Kill orphans: no child outlives the process that started it, not even after its `kill -9`.

Every process that starts children keeps one undertaker: a small process in a
session of its own that holds the read end of a pipe and is told each child's
process group. When the pipe closes, however its owner died, it kills the groups
that are left, the last started first. It runs this file as a script and imports
nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import cache
from typing import BinaryIO


class Undertaker:
    """The pipe to this process's undertaker; the pipe's end, not a call, is what sets it to work."""

    def __init__(self) -> None:
        orders, self._pipe = os.pipe()  # neither end is inherited by the children we start
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", __file__],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, orders, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),  # whoever reads our output waits for us alone
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        os.close(orders)

    def watch(self, group: int) -> None:
        """Have process group *group* killed when this process dies."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Group *group* has ended: its number may soon be somebody else's."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        # Without its undertaker the system still runs, and the next start ends what was left.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode())


@cache
def undertaker() -> Undertaker:
    """This process's own undertaker, started with its first child."""
    return Undertaker()


def keep_watch(orders: BinaryIO) -> None:
    """Follow *orders* until they end, then kill the groups that are left."""
    groups: list[int] = []
    for line in orders:
        group = int(line[1:])
        if line.startswith(b"+"):
            groups.append(group)
        elif group in groups:
            groups.remove(group)
    for group in reversed(groups):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    os.chdir("/")
    keep_watch(sys.stdin.buffer)
