"""Which TCP ports of this machine's loopback are free, and which one to take.

Ports are drawn from below the range that systems hand to outgoing connections,
so that no connection can take one between the choice and the bind.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from worker.errors import LocalError

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 20000, 32000
TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* of the loopback now."""
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
