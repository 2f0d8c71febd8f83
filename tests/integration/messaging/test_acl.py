"""The rules of SECURITY.md for Redis users: a backend may ask and hear, our processes do their work, neither more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection
from redis.exceptions import NoPermissionError

from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, Office
from worker import probes
from worker.operations.doctor import store_checks
from worker.operations.doctor.findings import Mark
from worker.settings.settings import Settings
from worker.store import Store, connect
from worker.store.keys import Keys

SECURITY = Path(__file__).parents[3] / "SECURITY.md"
PASSWORD = "of-a-backend"


def rules_of(user: str) -> list[str]:
    """The rules that SECURITY.md gives *user*, whose own lines begin as far in as the block of code does."""
    _, _, rest = SECURITY.read_text().partition(f"ACL SETUSER {user} on >PASSWORD ")
    return rest.partition("```")[0].replace("\\\n", " ").split()


@pytest.fixture
def own_url(redis_url: str, redis_client: redis.Redis) -> Iterator[str]:
    """Redis as our own processes see it."""
    admin: Any = redis_client
    admin.execute_command("ACL", "SETUSER", "callsheet", "on", f">{PASSWORD}", *rules_of("callsheet"))
    yield f"redis://callsheet:{PASSWORD}@{redis_url.partition('@')[2]}"
    admin.execute_command("ACL", "DELUSER", "callsheet")


@pytest.fixture
def backend_url(redis_url: str, redis_client: redis.Redis) -> Iterator[str]:
    """Redis as the user `backend` sees it."""
    admin: Any = redis_client  # redis-py gives `execute_command` no types
    admin.execute_command("ACL", "SETUSER", "backend", "on", f">{PASSWORD}", *rules_of("backend"))
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


def test_a_worker_records_and_refuses_under_our_own_rights(
    own_url: str, redis_client: redis.Redis, tmp_path: Path, wait_until: WaitUntil
) -> None:
    office = Office(own_url, tmp_path, wait_until)
    try:
        office.worker.start()
        office.works()
        spec = {"model": "kling-3.0-turbo", "prompt": "A corgi", "first_frame": "https://example.com/a.png"}
        office.app.send_task("callsheet.generate", kwargs=spec, task_id="job-1", queue="callsheet")
        office.app.send_task("callsheet.sweep", queue="callsheet.sweep")
        wait_until(lambda: redis_client.exists(Keys().of("job-1")[0]), PATIENCE_SECONDS)
        office.works()
        wait_until(lambda: office.app.control.ping(timeout=1), PATIENCE_SECONDS)
    finally:
        office.close()

    denied = [line for line in office.worker.output().splitlines() if "NOPERM" in line or "NoPermission" in line]
    assert denied == []


def test_the_doctor_finds_all_good_under_our_own_rights(own_url: str) -> None:
    with connect(own_url) as client, Connection(own_url) as connection:
        store = Store(client, retention_ms=1000)
        found = [finding.mark for finding in store_checks.records(Settings.from_env(of_tests(own_url)), store)]
        probes.broker(connection)
        probes.results(client, "celery-task-meta-callsheet-probe")

    assert Mark.FAIL not in found


def of_tests(url: str) -> dict[str, str]:
    return {"CALLSHEET_REDIS_URL": url, "CALLSHEET_BUCKET": "bucket", "EVOLINK_API_KEY": "key"}


@pytest.mark.parametrize(
    "command",
    [
        ["FLUSHALL"],
        ["CONFIG", "SET", "appendonly", "no"],
        ["SHUTDOWN"],
        ["ACL", "SETUSER", "me"],
        ["MONITOR"],
        ["REPLICAOF", "NO", "ONE"],
        ["GET", "somebody-elses"],
        ["SET", "somebody-elses", "x"],
        ["SCRIPT", "FLUSH"],
    ],
    ids=" ".join,
)
def test_our_own_rights_reach_no_further(own_url: str, command: list[str]) -> None:
    with redis.Redis.from_url(own_url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)
