"""A Redis Cluster of three masters, as processes; slots move and nodes restart when told to."""

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

NODES = 3
SLOTS = 16384
CLUSTERED = """\
cluster-enabled yes
cluster-port {bus_port}
cluster-node-timeout 2000
cluster-require-full-coverage no
"""


class Node:
    """One master: its process, and a client that speaks to it and to no other."""

    def __init__(self, directory: Path, number: int, password: str) -> None:
        self.port, self.bus_port = free_port(), free_port()
        self.client: Any = redis.Redis(
            port=self.port, password=password, socket_timeout=10, decode_responses=True
        )  # redis-py types no CLUSTER command
        folder = directory / f"node-{number}"
        folder.mkdir()
        config = CONFIG.format(host=LOOPBACK, port=self.port, directory=folder, password=password)
        self.process = Process(
            "valkey",
            [str(server_binary()), "-"],
            directory=folder,
            logs=folder,
            env={"PATH": os.environ["PATH"]},
            is_ready=lambda _: self._answers(),
            stdin=config + CLUSTERED.format(bus_port=self.bus_port),
        )

    @property
    def id(self) -> str:
        return str(self.client.execute_command("CLUSTER MYID"))

    def is_whole(self) -> bool:
        """Whether this node knows all the others, and who has every slot."""
        said = self.client.execute_command("CLUSTER INFO")
        return (said["cluster_state"], said["cluster_known_nodes"]) == ("ok", str(NODES))

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


class ClusterServers:
    """The nodes; `url` is what Callsheet is told, `hosts` is where any of them answers."""

    def __init__(self, directory: Path, wait_until: WaitUntil) -> None:
        self.password = secrets.token_urlsafe(16)
        self._wait_until = wait_until
        self.nodes = [Node(directory, number, self.password) for number in range(NODES)]
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)
        self.url = f"cluster://:{self.password}@{hosts}"

    def join(self) -> None:
        """Give each node its part of the slots, and make them known to each other."""
        first, *others = self.nodes
        for number, node in enumerate(self.nodes):
            start, end = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", start, end)
        for node in others:
            first.client.execute_command("CLUSTER MEET", LOOPBACK, node.port, node.bus_port)
        self.settle()

    def settle(self) -> None:
        """Wait until all nodes agree."""
        self._wait_until(lambda: all(node.is_whole() for node in self.nodes), 60)

    def owner(self, key: str) -> Node:
        """The node that holds *key*."""
        slot = self.nodes[0].client.execute_command("CLUSTER KEYSLOT", key)
        return next(node for node in self.nodes if self._has(node, slot))

    def move_slot_of(self, key: str) -> Node:
        """Move *key*'s slot, with all that it holds, to another node; that one."""
        slot = self.nodes[0].client.execute_command("CLUSTER KEYSLOT", key)
        source = self.owner(key)
        target = next(node for node in self.nodes if node is not source)
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        while held := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            route = ["MIGRATE", LOOPBACK, target.port, "", 0, 5000, "AUTH", self.password, "KEYS", *held]
            source.client.execute_command(*route)
        for node in (target, source, *self.nodes):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)
        return target

    def _has(self, node: Node, slot: int) -> bool:
        ranges = node.client.execute_command("CLUSTER SLOTS")
        return any(first <= slot <= last and holder[1] == node.port for first, last, holder, *_ in ranges)

    def config_set(self, name: str, value: str) -> None:
        """Change a setting of every node."""
        for node in self.nodes:
            node.client.config_set(name, value)


@contextmanager
def running(directory: Path, wait_until: WaitUntil) -> Iterator[ClusterServers]:
    """Three nodes that agree on who has which slot."""
    servers = ClusterServers(directory, wait_until)
    started: list[Node] = []
    try:
        for node in servers.nodes:
            node.process.start()
            started.append(node)
        servers.join()
        yield servers
    finally:
        for node in started:
            node.client.close()
            node.process.kill()
