"""Connections to Redis by the name of their process, as `deploy/sizing.md` counts them."""

from __future__ import annotations

from typing import cast

import pytest
import redis

from tests.acceptance.backend import Backend
from tests.acceptance.flower_api import Flower
from tests.acceptance.system import System

PATIENCE_SECONDS = 60
KINDS = ("worker", "archiver", "sweeper", "beat", "flower", "web")


@pytest.fixture
def names(system: System, backend: Backend, flower: Flower) -> list[str]:
    """The names of all connections, once a job has been made and Flower was asked."""
    backend.ask("evolink").get(timeout=PATIENCE_SECONDS)
    flower.get("/api/workers", refresh="1")
    with redis.Redis.from_url(system.redis_url, decode_responses=True) as client:
        return [connection["name"] for connection in cast("list[dict[str, str]]", client.client_list())]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_process_is_told_from_all_others(names: list[str], kind: str) -> None:
    assert [name for name in names if name == f"callsheet-{kind}" or name.startswith(f"callsheet-{kind}-")]


def test_no_connection_of_ours_is_without_the_name_of_its_process(names: list[str]) -> None:
    of_processes = {
        f"callsheet-{kind}{purpose}" for kind in (*KINDS, "console") for purpose in ("", "-messages", "-results")
    }
    of_commands = {"callsheet"}  # other tests' commands, that run beside this one
    assert {name for name in names if name.startswith("callsheet")} <= of_processes | of_commands
