"""The whole system as processes, and the providers beside it, which live on when it is stopped."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.sandbox_process import SandboxProcess
from deploy.local.stack import Stack
from deploy.local.tls import LocalTls
from deploy.sandbox.signing import WEBHOOK_SECRET
from tests.conftest import WaitUntil
from worker.settings.settings import KEY_NAMES, PROVIDER_NAMES, SECRET_NAMES

GENERATION_SECONDS = 0.5
OWN_MODELS = """
provider = "apimart"

[models."tomorrows-video-1"]
answers_to = { tomorrow = "always" }
source = "https://docs.example.com/tomorrows-video-1"
read = 2026-12-01

[models."tomorrows-video-1".fields]
prompt = { type = "string", characters = 2000, required = true }
first_frame = { wire = "image_urls[0]", type = "url" }
duration = { wire = "seconds", type = "string_integer", values = [4, 8], default = 4 }
resolution = { wire = "quality", type = "string", values = ["720p", "1080p"], default = "720p" }

[models."tomorrows-video-1".extra]
style = { type = "string", values = ["film", "anime"] }

[[models."tomorrows-video-1".prices]]
usd = "0.05"
per = "second"
source = "https://example.com/prices"
read = 2026-12-01
"""
"""A model of a provider that is there, as a user adds it: no code."""
START_SECONDS = 60


class System:
    """A `Stack` that can be stopped and started again where it was, on the same ports."""

    def __init__(self, home: Path, wait_until: WaitUntil) -> None:
        self.said: list[str] = []
        self.data = home / "data"
        self._wait_until = wait_until
        tls = LocalTls(self.data / "tls").ensure()
        self.sandbox = SandboxProcess(home / "providers", tls, generation_seconds=GENERATION_SECONDS)
        self._user = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CALLSHEET_CATALOGUE": str(own_models(home)),
            **{KEY_NAMES[name]: f"{name}-key-{secrets.token_hex(12)}" for name in PROVIDER_NAMES},
            **dict.fromkeys(SECRET_NAMES.values(), WEBHOOK_SECRET),
            **{f"{name.upper()}_BASE_URL": self.sandbox.base_url(name) for name in PROVIDER_NAMES},
        }
        self.stack = self._stack({})

    @property
    def env(self) -> dict[str, str]:
        """The processes' environment; the same after a restart."""
        return self.stack.env

    @property
    def redis_url(self) -> str:
        return self.env["CALLSHEET_REDIS_URL"]

    def groups(self) -> dict[str, int]:
        """The process group of each part."""
        return {name: process.pid for name, process in self.stack.processes.items()}

    def start_again(self) -> None:
        """Start, after a stop, what was stopped."""
        valkey, s3 = self.stack.valkey, self.stack.s3
        assert valkey is not None
        assert s3 is not None
        receiver, flower = int(self.env["PORT"]), int(self.env["FLOWER_PORT"])
        self.stack = self._stack({"receiver": receiver, "Flower": flower, "Valkey": valkey.port, "S3": s3.port})
        self.stack.start()

    def kill(self, *names: str) -> None:
        """SIGKILL each of *names* with all it started, and wait until it has been started again."""
        killed = [self.stack.processes[name] for name in names]
        pids = [process.pid for process in killed]
        for name in names:
            self.stack.kill(name)
        self._wait_until(lambda: all(p.pid != pid and p.is_running for p, pid in zip(killed, pids, strict=True)), 30)
        for process in killed:
            process.wait_until_ready()

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """Stop the parts *names* in their tracks meanwhile."""
        parts = [self.stack.processes[name] for name in names]
        for part in parts:
            part.pause()
        try:
            yield
        finally:
            for part in parts:
                part.resume()

    def _stack(self, usual_ports: dict[str, int]) -> Stack:
        return Stack(self.data, env=self._user, tell=self.said.append, usual_ports=usual_ports)


def own_models(home: Path) -> Path:
    """The user's file of models."""
    file = home / "models.toml"
    file.write_text(OWN_MODELS)
    return file


@contextmanager
def running(home: Path, wait_until: WaitUntil) -> Iterator[System]:
    """A system on the sandbox, up."""
    system = System(home, wait_until)
    with system.sandbox:
        try:
            system.stack.start()
            yield system
        finally:
            system.stack.stop()


def alive(groups: Iterable[int]) -> list[int]:
    """Those of the process *groups* that have members; one that is only waited for does not count."""
    wanted, found = set(groups), set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.add(int(group))
    return sorted(wanted & found)
