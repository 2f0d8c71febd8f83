"""The rules of SECURITY.md for a backend's own Redis user: it may ask and hear, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from redis.exceptions import NoPermissionError

SECURITY = Path(__file__).parents[3] / "SECURITY.md"
PASSWORD = "of-a-backend"


@pytest.fixture
def backend_url(redis_url: str, redis_client: redis.Redis) -> Iterator[str]:
    """Redis as the user `backend` sees it."""
    _, _, rest = SECURITY.read_text().partition("ACL SETUSER backend on >PASSWORD ")
    rules = rest.partition("```")[0].replace("\\\n", " ").split()
    admin: Any = redis_client  # redis-py gives `execute_command` no types
    admin.execute_command("ACL", "SETUSER", "backend", "on", f">{PASSWORD}", *rules)
    yield f"redis://backend:{PASSWORD}@{redis_url.partition('@')[2]}"
    admin.execute_command("ACL", "DELUSER", "backend")


def test_it_asks_for_a_video_and_hears_of_it(backend_url: str, redis_client: redis.Redis) -> None:
    app = Celery("backend", broker=backend_url, backend=backend_url, set_as_current=False)

    result = app.send_task("callsheet.generate", kwargs={"model": "x"}, task_id="job-1", queue="callsheet")
    redis_client.set(
        "celery-task-meta-job-1", json.dumps({"task_id": "job-1", "status": "SUCCESS", "result": 5, "children": []})
    )

    assert redis_client.llen("callsheet") == 1
    assert result.get(timeout=10) == 5
    app.close()


@pytest.mark.parametrize(
    "command",
    [
        ["LPUSH", "callsheet.archive", "x"],
        ["LRANGE", "callsheet", "0", "-1"],
        ["DEL", "callsheet"],
        ["LRANGE", "callsheet:{0}:history:job-1", "0", "-1"],
        ["HGETALL", "callsheet:{0}:job:job-1"],
        ["SET", "celery-task-meta-job-1", "x"],
        ["PUBLISH", "/0.celery.pidbox", "x"],
        ["PUBLISH", "celery-task-meta-job-1", "x"],
        ["EVAL", "return 1", "0"],
        ["KEYS", "*"],
        ["CONFIG", "GET", "*"],
        ["MONITOR"],
        ["FLUSHALL"],
    ],
    ids=" ".join,
)
def test_it_does_nothing_else(backend_url: str, command: list[str]) -> None:
    with redis.Redis.from_url(backend_url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)
