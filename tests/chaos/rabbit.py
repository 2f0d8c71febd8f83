"""A RabbitMQ of our own beside the machine's: the same program, another node, so that it may be killed and starved."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
CONTROL_SECONDS = 60.0
START_SECONDS = 120.0


def is_installed() -> bool:
    """Whether the machine has RabbitMQ's own programs, and Erlang to run them."""
    return (PROGRAMS / "rabbitmq-server").exists() and shutil.which("erl") is not None


class Rabbit:
    """A node whose data lives in *directory*; the same port, name and data after a restart."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.port = free_port()
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}//"
        (directory / "plugins").write_text("[].")
        (directory / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n")
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),  # the cookie that lets `control` in is written there
            "RABBITMQ_NODENAME": f"chaos-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
        }
        self.process = Process(
            "rabbitmq",
            [str(PROGRAMS / "rabbitmq-server")],
            directory=directory,
            logs=directory,
            env=self._env,
            is_ready=lambda process: "Starting broker... completed" in process.output() and self._listens(),
            ready_seconds=START_SECONDS,
        )

    def _listens(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex((LOOPBACK, self.port)) == 0

    @property
    def is_alarmed(self) -> bool:
        """Whether it takes no messages, for want of memory or disk."""
        return self.control("eval", "rabbit_alarm:get_alarms().").strip() != "[]"

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` with *arguments* as this node's administrator; what it says."""
        command = [str(PROGRAMS / "rabbitmqctl"), "--node", self._env["RABBITMQ_NODENAME"], *arguments]
        done = subprocess.run(command, env=self._env, check=True, capture_output=True, timeout=CONTROL_SECONDS)
        return done.stdout.decode()

    def kill(self) -> None:
        """SIGKILL, as a crash; `start` brings it back with its data."""
        self.process.kill()

    def start(self) -> None:
        self.process.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
