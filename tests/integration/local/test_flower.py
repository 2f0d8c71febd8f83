"""Flower by the Procfile's own line: nothing that names jobs or workers without the password."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.local.health import http_answers
from deploy.local.ports import free_port
from deploy.local.processes import Process
from deploy.local.procfile import read_procfile
from deploy.local.sandbox_process import SOURCE
from deploy.local.valkey import Valkey
from tests.integration.webhook.conftest import environment


@pytest.fixture(scope="module")
def flower(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Flower."""
    port = free_port()
    process = Process(
        "flower",
        ["/bin/sh", "-c", read_procfile(SOURCE / "Procfile")["flower"]],
        directory=SOURCE,
        logs=tmp_path_factory.mktemp("flower"),
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FLOWER_BASIC_AUTH": "operator:of-the-tests",
            "FLOWER_PORT": str(port),
            **environment(valkey.url),
        },
        is_ready=http_answers(f"http://127.0.0.1:{port}/healthcheck"),
    )
    with process:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("page", ["/", "/tasks", "/metrics", "/api/tasks", "/api/workers"])
def test_no_page_opens_without_the_password(flower: str, page: str) -> None:
    assert requests.get(f"{flower}{page}", timeout=30).status_code == 401
    assert requests.get(f"{flower}{page}", auth=("operator", "wrong"), timeout=30).status_code == 401


def test_prometheus_gets_its_figures_with_the_password(flower: str) -> None:
    answer = requests.get(f"{flower}/metrics", auth=("operator", "of-the-tests"), timeout=30)

    assert answer.status_code == 200
    assert "flower_" in answer.text
