"""A bucket at a plain S3, whose faults and extensions tests choose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.plain_s3 import PlainS3, serve
from worker.bucket.bucket import Bucket


@pytest.fixture(scope="module")
def plain_server() -> Iterator[PlainS3]:
    with serve() as running:
        yield running


@pytest.fixture
def plain(plain_server: PlainS3, monkeypatch: pytest.MonkeyPatch) -> PlainS3:
    """An S3 without anything in it, which the environment names."""
    plain_server.reset()
    for key, value in {
        "ENDPOINT_URL_S3": plain_server.url,
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    return plain_server


@pytest.fixture
def bucket(plain: PlainS3) -> Iterator[Bucket]:
    bucket = Bucket.connect("videos", "callsheet")
    yield bucket
    for client in (bucket.objects.client, bucket.objects.quick):
        client.close()
