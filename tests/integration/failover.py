"""A master, its replica and a sentinel, as processes: a failover, also to a replica that has lagged."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.valkey import CONFIG, server_binary
from tests.conftest import WaitUntil

MASTER_NAME = "callsheet"
REPLICA = "replicaof {host} {port}\nmasterauth {password}\n"
SENTINEL = """\
port {port}
bind {host}
dir "{directory}"
sentinel monitor {name} {host} {master_port} 1
sentinel auth-pass {name} {password}
sentinel down-after-milliseconds {name} 500
sentinel failover-timeout {name} 5000
"""


class Failover:
    """Two servers and the sentinel that watches them; `url` leads to whichever is the master."""

    def __init__(self, directory: Path, wait_until: WaitUntil) -> None:
        self._password = secrets.token_urlsafe(16)
        self._wait_until = wait_until
        self._master_port, self._replica_port, self._port = free_port(), free_port(), free_port()
        self.master = self._server(directory, "master", self._master_port)
        replica_of = REPLICA.format(host=LOOPBACK, port=self._master_port, password=self._password)
        self.replica = self._server(directory, "replica", self._replica_port, replica_of)
        self.sentinel = self._sentinel(directory)
        self.url = f"sentinel://:{self._password}@{LOOPBACK}:{self._port}/{MASTER_NAME}/0"

    def lag(self) -> None:
        """From here on the replica learns nothing more."""
        with self._client(self._master_port) as client:
            client.wait(1, 5000)
        self.replica.kill()

    def fail_over(self) -> None:
        """The master is lost; the replica, as it is or was, takes its place."""
        self.master.kill()
        if not self.replica.is_running:
            self.replica.start()
        self._wait_until(lambda: self._role(self._replica_port) == "master", 30)

    def has_replica(self) -> bool:
        """Whether the sentinel knows of the replica, and that holds what the master does."""
        with redis.Redis(port=self._port, socket_timeout=2, decode_responses=True) as client:
            known = client.sentinel_slaves(MASTER_NAME)
        return len(known) == 1 and known[0]["master-link-status"] == "ok"

    def _role(self, port: int) -> str:
        with self._client(port) as client:
            return str(client.info("replication")["role"])

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=self._password, socket_timeout=10)

    def _server(self, directory: Path, name: str, port: int, more: str = "") -> Process:
        folder = directory / name
        folder.mkdir()
        config = CONFIG.format(host=LOOPBACK, port=port, directory=folder, password=self._password)
        text = f"{config}masterauth {self._password}\n{more}" if not more else f"{config}{more}"
        return self._process(name, folder, ["-"], port, text)

    def _sentinel(self, directory: Path) -> Process:
        folder = directory / "sentinel"
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            SENTINEL.format(
                port=self._port,
                host=LOOPBACK,
                directory=folder,
                name=MASTER_NAME,
                master_port=self._master_port,
                password=self._password,
            )
        )
        return self._process("sentinel", folder, [str(config), "--sentinel"], self._port)

    def _process(self, name: str, folder: Path, arguments: list[str], port: int, stdin: str = "") -> Process:
        def answers(_: Process) -> bool:
            try:
                with redis.Redis(port=port, password=self._password if stdin else None, socket_timeout=1) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        return Process(
            name,
            [str(server_binary()), *arguments],
            directory=folder,
            logs=folder,
            env={"PATH": os.environ["PATH"]},
            is_ready=answers,
            stdin=stdin,
        )


def hang_up(client: redis.Redis) -> None:
    """Close *client*, and what it asked the sentinels with, which redis-py leaves open."""
    pool: Any = client.connection_pool
    for asked in pool.sentinel_manager.sentinels:
        asked.close()
    client.close()


@contextmanager
def running(directory: Path, wait_until: WaitUntil) -> Iterator[Failover]:
    """All three, the replica in step with its master."""
    servers = Failover(directory, wait_until)
    started: list[Process] = []
    try:
        for process in (servers.master, servers.replica, servers.sentinel):
            process.start()
            started.append(process)
        wait_until(servers.has_replica, 30)
        yield servers
    finally:
        for process in reversed(started):
            process.kill()
