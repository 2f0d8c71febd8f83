"""The lines of the Procfile in plain shells: what they need is the environment, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from celery.result import AsyncResult

from deploy.local.health import http_answers, log_says
from deploy.local.ports import free_port
from deploy.local.processes import Process
from deploy.local.s3 import S3Server
from deploy.local.valkey import Valkey
from tests.acceptance.backend import Backend
from tests.acceptance.conftest import Stage
from tests.acceptance.shell import LINES, PATH, ROOT
from tests.acceptance.system import alive

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Shells:
    """Every line of the Procfile in a shell of its own, and a job that they are to do."""

    processes: Mapping[str, Process]
    environment: Mapping[str, str]
    backend: Backend
    result: AsyncResult[Any]


def begin(stage: Stage) -> Shells:
    """The shells are left to start while others run their tests."""
    valkey = stage.exits.enter_context(Valkey(stage.directory / "redis", "a-password"))
    s3 = stage.exits.enter_context(S3Server(stage.directory / "s3"))
    s3.create_bucket("videos-of-the-shells")
    environment = {
        "CALLSHEET_REDIS_URL": valkey.url,
        "CALLSHEET_BUCKET": "videos-of-the-shells",
        **s3.env,
        "APIMART_API_KEY": "a-key-of-the-shells",
        "APIMART_BASE_URL": stage.system.sandbox.base_url("apimart"),
        "CALLSHEET_CA_FILE": str(stage.system.sandbox.ca_file),
        "CALLSHEET_ALLOW_NETWORKS": "127.0.0.0/8",
        "FLOWER_BASIC_AUTH": "somebody:a-password",
        "FLOWER_PORT": str(free_port()),
        "CALLSHEET_CONSOLE_PORT": str(free_port()),
        "PORT": str(free_port()),
    }
    processes = {name: _in_a_shell(name, line, environment, stage.directory) for name, line in LINES.items()}
    for process in processes.values():
        stage.exits.callback(process.kill)
        process.spawn()
    backend = Backend(valkey.url, stage.ledger.control)
    stage.exits.callback(backend.close)
    return Shells(processes, environment, backend, backend.ask("apimart"))


def _in_a_shell(name: str, line: str, environment: Mapping[str, str], logs: Path) -> Process:
    """The variables that README.md calls needed, for one provider, and the two that lead to a simulated one."""
    web, flower = (f"http://127.0.0.1:{environment[port]}" for port in ("PORT", "FLOWER_PORT"))
    signs = {
        "web": http_answers(f"{web}/ready"),
        "console": http_answers(f"http://127.0.0.1:{environment['CALLSHEET_CONSOLE_PORT']}/live"),
        "flower": http_answers(f"{flower}/healthcheck"),
        "beat": log_says("beat: Starting"),
    }
    return Process(
        name,
        ["/bin/sh", "-c", line],
        directory=ROOT,
        logs=logs,
        env={"PATH": PATH, **environment},
        is_ready=signs.get(name, log_says(r"\bready\.")),
        stop_seconds=30,
    )


def test_the_lines_make_a_video_and_end_when_told_to(begun: Shells) -> None:
    processes = begun.processes.values()

    for process in processes:
        process.wait_until_ready()
    told = begun.result.get(timeout=PATIENCE_SECONDS)
    live = requests.get(f"http://127.0.0.1:{begun.environment['PORT']}/live", timeout=5)
    for process in processes:
        process.stop()

    assert told["videos"][0]["uri"].startswith("s3://videos-of-the-shells/")
    assert live.status_code == 200
    assert {process.name: process.fate for process in processes} == dict.fromkeys(LINES, "ended with status 0")
    assert alive(process.pid for process in processes) == []
