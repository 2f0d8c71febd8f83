"""Providers as a worker has them, with someone at the other end of the wire."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from tests.integration.providers.wire import Wire
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter
from worker.providers.http import Api, trust

KEY = "sk-live-0123456789abcdefghij"


@pytest.fixture(scope="session")
def trusting(tls: LocalTls) -> ssl.SSLContext:
    """The trust of a worker whose `CALLSHEET_CA_FILE` is the local CA."""
    return trust(str(tls.ca_file))


@pytest.fixture
def wire(tls: LocalTls) -> Iterator[Wire]:
    """Someone at the other end who does as told."""
    with Wire(tls) as server:
        yield server


@pytest.fixture
def connect(trusting: ssl.SSLContext) -> Callable[..., Adapter]:
    """`connect(provider, base_url, **options)`: its adapter, with short time-outs unless told otherwise."""

    def adapter(provider: str, base_url: str, **options: Any) -> Adapter:
        adapter_class = ADAPTERS[provider]
        options = {
            "post_seconds": (0.5, 0.5),
            "get_seconds": (0.5, 0.5),
            "answer_bytes": adapter_class.answer_bytes,
            "auth": adapter_class.auth(KEY),
            **options,
        }
        return adapter_class(Api(provider, base_url, KEY, trusting, **options))

    return adapter
