"""The HTTP API in this process and as the Procfile serves it, over real servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from flask import Flask
from werkzeug.test import Client

from deploy.local.ports import free_port
from deploy.local.procfile import read_procfile
from tests.conftest import WaitUntil
from tests.integration.cli.conftest import Lives, environment, lives, store
from worker.console.app import create_app
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings
from worker.settings.tokens import SCOPES

__all__ = ["Lives", "environment", "lives", "store"]  # fixtures

ROOT = Path(__file__).parents[3]
ALL = "all-of-the-scopes-000000000000000000"
SECRETS = {scope: f"only-{scope}-{'0' * 32}" for scope in SCOPES}


def bearer(secret: str = ALL) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def api_environment(environment: dict[str, str]) -> dict[str, str]:
    return with_tokens(environment)


def with_tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """*environment* with a token of all scopes, and one of each alone."""
    tokens = [f"all:{'+'.join(SCOPES)}:{ALL}", *(f"just-{scope}:{scope}:{SECRETS[scope]}" for scope in SCOPES)]
    return {**environment, "CALLSHEET_API_TOKENS": ",".join(tokens)}


@pytest.fixture
def app(api_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Flask:
    for name, value in api_environment.items():
        monkeypatch.setenv(name, value)  # for the Celery application, which the doctor's checks import
    services = Services.from_settings(Settings.from_env(api_environment))
    return create_app(reader=Reader.from_env(api_environment), services=services, env=api_environment)


@pytest.fixture
def client(app: Flask) -> Client:
    return app.test_client()


class Served:
    """The API behind gunicorn, by HTTP."""

    def __init__(self, url: str, log: Path) -> None:
        self.url, self.log = url, log

    def ask(self, method: str, path: str, secret: str = ALL, **options: object) -> requests.Response:
        headers = {**bearer(secret), **options.pop("headers", {})}  # type: ignore[dict-item]
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)  # type: ignore[arg-type]


@pytest.fixture
def served(api_environment: dict[str, str], tmp_path: Path, wait_until: WaitUntil) -> Iterator[Served]:
    with serving(api_environment, tmp_path / "console.log", wait_until) as server:
        yield server


@contextmanager
def serving(environment: Mapping[str, str], log: Path, wait_until: WaitUntil) -> Iterator[Served]:
    """The console's line of the Procfile on a free port, in *environment* and nothing else."""
    port = free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    env = {**environment, "PATH": path, "CALLSHEET_CONSOLE_PORT": str(port)}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["/bin/sh", "-c", read_procfile(ROOT / "Procfile")["console"]], cwd=ROOT, env=env, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: _is_up(port), 60)
        yield Served(f"http://127.0.0.1:{port}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/live", timeout=5).ok
    except requests.RequestException:  # not there yet, or on a busy machine
        return False
