"""`worker.client.enqueue`: a job is durable before the caller is told of it, whatever the broker does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.app import app_or_default

from deploy.local.ports import free_port
from worker import client
from worker.client import enqueue
from worker.errors import SettingsError, SpecConflict, SpecError, StoreError
from worker.jobs.states import JobState
from worker.store import Store, connect

ROOT = Path(__file__).parents[2]
SPEC = {"model": "kling-3.0-turbo", "prompt": "a secret corgi on the beach", "duration": 5}


def environment(redis_url: str) -> dict[str, str]:
    """The environment of a backend service."""
    return {"CALLSHEET_REDIS_URL": redis_url, "CALLSHEET_BUCKET": "videos", "APIMART_API_KEY": "key"}


@pytest.fixture
def configured(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set the variables anew, with some of them changed; this process then forgets what it had put together."""

    def configure(**changes: str) -> None:
        for name, value in {**environment(redis_url), **changes}.items():
            monkeypatch.setenv(name, value)
        _forget()

    configure()
    yield configure
    _forget()


def _forget() -> None:
    pid = os.getpid()
    if client._app.cache_info().currsize:
        backend: Any = client._app(pid).backend
        backend.__dict__["remove_pending_result"] = lambda _: None
        backend.result_consumer.stop()
        backend.client.connection_pool.disconnect()
        client._app(pid).close()
    if client._sender.cache_info().currsize:
        client._sender(pid).close()
    if client._services.cache_info().currsize:
        client._services(pid).store.scripts._unlooked.close()  # `_client` would ask the server, which may be gone
    client._app.cache_clear()
    client._sender.cache_clear()
    client._services.cache_clear()
    sys.modules.pop("worker.celeryconfig", None)


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    with connect(redis_url) as connection:
        yield Store(connection, retention_ms=1000)


def messages(redis_client: redis.Redis) -> list[dict[str, Any]]:
    """The messages in our queue."""
    return [json.loads(text) for text in redis_client.lrange("callsheet", 0, -1)]


def test_a_job_is_recorded_before_it_is_returned_and_nudged_by_its_id_alone(
    configured: Callable[..., None], store: Store, redis_client: redis.Redis
) -> None:
    result = enqueue(SPEC, "job-1")

    job = store.jobs.get("job-1")
    assert job is not None
    assert (result.id, job.state, job.provider) == ("job-1", JobState.ACCEPTED, "apimart")
    [message] = messages(redis_client)
    assert (message["headers"]["task"], message["headers"]["id"]) == ("callsheet.generate", "job-1")
    assert "corgi" not in json.dumps(message)


def test_without_an_id_one_is_made(configured: Callable[..., None], store: Store) -> None:
    first, second = enqueue(SPEC), enqueue(SPEC)

    assert first.id != second.id
    assert all(store.jobs.get(str(result.id)) for result in (first, second))


def test_the_same_call_again_is_the_same_job(configured: Callable[..., None], store: Store) -> None:
    enqueue(SPEC, "job-1")
    first = store.jobs.get("job-1")

    enqueue(dict(reversed(SPEC.items())), "job-1")

    assert store.jobs.get("job-1") == first


def test_the_same_id_for_another_spec_is_refused(configured: Callable[..., None], store: Store) -> None:
    enqueue(SPEC, "job-1")

    with pytest.raises(SpecConflict, match="job-1 already exists with another spec"):
        enqueue({**SPEC, "duration": 9}, "job-1")

    job = store.jobs.get("job-1")
    assert job is not None
    assert job.ver == 1


@pytest.mark.parametrize("job_id", ["", "a b", "a" * 65])
def test_an_id_that_cannot_be_one_is_refused_and_never_replaced(
    configured: Callable[..., None], store: Store, job_id: str
) -> None:
    with pytest.raises(SpecError, match="job id"):
        enqueue(SPEC, job_id)

    assert store.due.open_count() == 0


def test_a_spec_that_cannot_be_made_is_refused_with_every_problem_and_nobody_is_nudged(
    configured: Callable[..., None], store: Store, redis_client: redis.Redis
) -> None:
    with pytest.raises(SpecError) as caught:
        enqueue({**SPEC, "duration": 99, "resolution": "4k", "colour": "red"}, "job-1")

    assert len(caught.value.problems) == 3
    assert store.jobs.get("job-1") is None
    assert messages(redis_client) == []


def test_a_broker_that_is_down_costs_nothing_but_the_nudge(
    configured: Callable[..., None], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    configured(CALLSHEET_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")

    result = enqueue(SPEC, "job-1")

    assert result.id == "job-1"
    assert store.due.ids() == ["job-1"], "the sweep starts it"
    assert "nudge.unsent" in caplog.messages


def test_a_store_that_is_down_is_said_and_nothing_is_promised(configured: Callable[..., None]) -> None:
    configured(CALLSHEET_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(StoreError):
        enqueue(SPEC, "job-1")


def test_a_missing_variable_is_said_before_anything_is_recorded(
    configured: Callable[..., None], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLSHEET_BUCKET")
    _forget()

    with pytest.raises(SettingsError, match="CALLSHEET_BUCKET"):
        enqueue(SPEC, "job-1")

    assert store.jobs.get("job-1") is None


def test_a_process_puts_its_services_together_once(configured: Callable[..., None]) -> None:
    for _ in range(3):
        enqueue(SPEC)

    assert client._services.cache_info().misses == 1
    assert client._app.cache_info().misses == client._sender.cache_info().misses == 1


def test_a_result_is_listened_for_only_while_somebody_waits_for_it(
    configured: Callable[..., None], redis_client: redis.Redis, wait_until: Callable[..., object]
) -> None:
    redis_client.config_resetstat()

    result = enqueue(SPEC, "job-1")

    assert "cmdstat_subscribe" not in redis_client.info("commandstats")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(result.get, timeout=10)
        wait_until(lambda: redis_client.pubsub_channels())
        told = json.dumps({"task_id": "job-1", "status": "SUCCESS", "result": 5, "children": []})
        redis_client.set("celery-task-meta-job-1", told)
        redis_client.publish("celery-task-meta-job-1", told)
        assert waiting.result() == 5


def test_the_callers_own_celery_app_stays_the_current_one(configured: Callable[..., None]) -> None:
    before = app_or_default()

    enqueue(SPEC)

    assert app_or_default() is before


BACKEND = """
import json, logging
from celery import Celery, current_app
from kombu.transport import TRANSPORT_ALIASES

app = Celery("backend")
app.config_from_object("celeryconfig")
aliases = dict(TRANSPORT_ALIASES)

from worker.client import enqueue

result = enqueue({"model": "kling-3.0-turbo", "prompt": "a corgi"}, "job-1")
print(json.dumps({
    "current": current_app.main,
    "own_queue": app.conf.task_default_queue,
    "sends_to": result.app.conf.task_default_queue,
    "waits_at": result.backend.as_uri(),
    "transports_kept": aliases == TRANSPORT_ALIASES,
}))
"""


def test_a_backend_with_a_celeryconfig_of_its_own_is_served_by_ours_and_keeps_its_own(
    redis_url: str, redis_client: redis.Redis, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "celeryconfig.py").write_text(
        f"broker_url = 'redis://127.0.0.1:{free_port()}/7'\ntask_default_queue = 'own'\n"
    )

    done = subprocess.run(
        [sys.executable, "backend.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}", **environment(redis_url)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["current"], told["own_queue"], told["transports_kept"]) == ("backend", "own", True)
    assert told["sends_to"] == "callsheet"
    assert told["waits_at"].startswith("redis://:**@127.0.0.1:")
    assert [message["headers"]["id"] for message in messages(redis_client)] == ["job-1"]
    assert store.jobs.get("job-1") is not None
