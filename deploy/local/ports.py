"""Choose free TCP ports of this machine's loopback.

Ports are drawn from below the range that systems hand to outgoing connections,
so that no connection can take one between the choice and the bind.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import LocalError

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 20000, 32000
TRIES = 200


@contextmanager
def alone(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold what one system of this user holds while it chooses its ports and binds them; another waits its turn.

    Without it, two that start at the same second choose the same ports. Raises KeyboardInterrupt when *cancelled*
    says so while it waits.
    """
    place = Path(tempfile.gettempdir()) / f"callsheet-ports-{os.getuid()}"
    try:
        turn = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise LocalError(
            f"{place} cannot be opened ({err.strerror}): remove it, or set TMPDIR to another place"
        ) from err
    try:
        while not _locked(turn):
            if cancelled():
                raise KeyboardInterrupt
            time.sleep(0.05)
        yield
    finally:
        os.close(turn)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_free(port: int) -> bool:
    """True where a server could listen on *port* of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, promised: Collection[int] = ()) -> int:
    """*preferred* if it is free, else any free port; never one of *promised*, which are not bound yet."""
    draw = random.SystemRandom()
    for port in (preferred, *(draw.randrange(LOWEST, HIGHEST) for _ in range(TRIES))):
        if port is not None and port not in promised and is_free(port):
            return port
    raise LocalError(f"no free port between {LOWEST} and {HIGHEST} on {LOOPBACK}: stop some servers and try again")
