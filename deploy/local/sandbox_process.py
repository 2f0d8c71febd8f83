"""The sandbox as a child process: the three providers on one loopback port, over HTTPS."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

from deploy.local.health import http_answers
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.tls import LocalTls

SOURCE = Path(__file__).parents[2]
ANY_STATUS = tuple(range(200, 600))


class SandboxProcess:
    """A running sandbox; callbacks to the loopback are allowed, as everything here is local.

    `control` is the URL of its control plane; *generation_seconds* is how long a
    video takes (None: the sandbox's own choice).
    """

    def __init__(
        self,
        directory: Path,
        tls: LocalTls,
        *,
        port: int | None = None,
        logs: Path | None = None,
        generation_seconds: float | None = None,
    ) -> None:
        self.port = port or free_port()
        self.url = f"https://{LOOPBACK}:{self.port}"
        self.control = f"{self.url}/_control"
        self.ca_file = tls.ca_file
        options = ["--cert", str(tls.cert_file), "--key", str(tls.key_file), "--ca-file", str(tls.ca_file)]
        if generation_seconds is not None:
            options += ["--seconds", f"{generation_seconds:g}"]
        self.process = Process(
            "sandbox",
            [
                sys.executable,
                "-m",
                "deploy.sandbox",
                "--port",
                str(self.port),
                "--allow-loopback-callbacks",
                *options,
            ],
            directory=directory,
            logs=logs or directory,
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"},
            is_ready=http_answers(self.control, context=tls.context(), good=ANY_STATUS),
        )

    def base_url(self, provider: str) -> str:
        """The value for a provider's `..._BASE_URL`."""
        return f"{self.url}/{provider}"

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
