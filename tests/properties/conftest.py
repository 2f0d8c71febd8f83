"""The scene of the steps' tests, for whole schedules."""

from __future__ import annotations

from tests.integration.steps.conftest import (
    bucket_client,
    provider_session,
    scene,
    settings,
    still_sandbox,
    store_client,
)

__all__ = ["bucket_client", "provider_session", "scene", "settings", "still_sandbox", "store_client"]
