"""The client at the HTTP API as the Procfile serves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callsheet_client import Callsheet
from tests.integration.cli.conftest import Lives, environment, lives, store
from tests.integration.console.conftest import ALL, Served, api_environment, served

__all__ = ["Lives", "Served", "api_environment", "environment", "lives", "served", "store"]  # fixtures


@pytest.fixture
def callsheet(served: Served) -> Iterator[Callsheet]:
    with Callsheet(served.url, ALL) as client:
        yield client
