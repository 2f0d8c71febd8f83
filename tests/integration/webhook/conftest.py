"""The receiver over a real store: jobs in any state, and deliveries as EvoLink makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from tests.integration.store.conftest import JOB, Lives
from webhook.app import create_app
from worker import providers
from worker.jobs.callback_token import callback_url
from worker.messaging.publisher import Publisher
from worker.settings.settings import Settings
from worker.store import Store, connect

SECRET, OLD_SECRET = "the-secret-that-signs-new-tokens", "the-secret-that-signed-old-tokens"
API_KEY = "sk-of-the-tests"
RETENTION_MS = 30 * 24 * 60 * 60 * 1000

COMPLETED: Mapping[str, Any] = {
    "created": 1756817821,
    "id": "r1",
    "model": "kling-v3-turbo-image-to-video",
    "object": "video.generation.task",
    "progress": 100,
    "results": ["https://files.example.com/video.mp4?sig=OF-A-LINK"],
    "status": "completed",
    "type": "video",
}


def environment(redis_url: str) -> dict[str, str]:
    """A configuration in which all three providers are known."""
    return {
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": "bucket",
        "CALLSHEET_PUBLIC_URL": "https://callsheet.example.com",
        "CALLSHEET_CALLBACK_SECRETS": f"{SECRET},{OLD_SECRET}",
        "GMICLOUD_API_KEY": API_KEY,
        "EVOLINK_API_KEY": API_KEY,
        "APIMART_API_KEY": API_KEY,
    }


def body(**changes: Any) -> bytes:
    """EvoLink's callback with *changes*; a field that is `...` is left out."""
    fields = {**COMPLETED, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def path(job_id: str = JOB, *, provider: str = "evolink", attempt: int = 1, secret: str = SECRET) -> str:
    return callback_url("", (secret,), provider, job_id, attempt)


class Client:
    """Delivers callbacks, as the provider or as somebody else."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client()

    def deliver(self, data: bytes | None = None, *, to: str | None = None, **options: Any) -> TestResponse:
        options.setdefault("content_type", "application/json")
        return self._client.post(to or path(), data=body() if data is None else data, **options)

    def ask(self, url: str, method: str = "GET", **options: Any) -> TestResponse:
        return self._client.open(url, method=method, **options)


@pytest.fixture
def store_client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url, timeout_seconds=1.0) as client:
        yield client


@pytest.fixture
def store(store_client: redis.Redis) -> Store:
    return Store(store_client, retention_ms=RETENTION_MS)


@pytest.fixture
def lives(store: Store) -> Lives:
    return Lives(store)


@pytest.fixture
def nudged() -> list[str]:
    """The jobs whose archive step was asked for."""
    return []


@pytest.fixture
def publisher(nudged: list[str]) -> Iterator[Publisher]:
    publisher = Publisher(nudged.extend)
    yield publisher
    publisher.close()


@pytest.fixture
def app(redis_url: str, store: Store, publisher: Publisher) -> Flask:
    settings = Settings.from_env(environment(redis_url))
    return create_app(
        store=store, providers=providers.build(settings), secrets=settings.callback_secrets, publisher=publisher
    )


@pytest.fixture
def client(app: Flask) -> Client:
    return Client(app)


@pytest.fixture
def raw(redis_url: str) -> Iterator[redis.Redis]:
    """A client that does not decode, for `snapshot`."""
    with redis.Redis.from_url(redis_url) as client:
        yield client
