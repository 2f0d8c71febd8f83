"""One system for all chaos tests; every test's jobs are judged when it is over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.checker import assert_sound
from tests.chaos.history import RECEIVER_SECONDS
from tests.chaos.promises import PROVIDERS_PATIENCE_SECONDS
from tests.chaos.recorder import Recorder
from tests.chaos.system import System
from tests.integration.steps.conftest import (
    bucket_client,
    provider_session,
    scene,
    settings,
    still_sandbox,
    store_client,
)

__all__ = ["bucket_client", "provider_session", "scene", "settings", "still_sandbox", "store_client"]

WHOLE = "tests/chaos"
ANSWERED_WITHIN = RECEIVER_SECONDS if os.environ.get("SEEDS") else PROVIDERS_PATIENCE_SECONDS
"""The promise is held to by `make chaos`; `make test` must pass on a machine that is busy with other things."""
SEEDS = int(os.environ.get("SEEDS") or 1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "subset: the chaos tests that are part of `make test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Unless chaos was asked for by name, leave only the subset."""
    if any(WHOLE in argument for argument in config.invocation_params.args):
        return
    ours = Path(__file__).parent
    left_out = [item for item in items if item.path.is_relative_to(ours) and not item.get_closest_marker("subset")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def whole_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture(scope="session")
def recorder(whole_system: System) -> Recorder:
    return Recorder(whole_system)


@pytest.fixture
def system(whole_system: System, recorder: Recorder) -> Iterator[System]:
    """The system, whole again after the test; its jobs of this test are settled and then judged by every invariant."""
    before, whole_system.receiver_seconds = len(whole_system.jobs), ANSWERED_WITHIN
    yield whole_system
    whole_system.mend()
    job_ids = whole_system.jobs[before:]
    for job_id in job_ids:
        whole_system.rig.disarm(job_id)
        whole_system.settled(job_id)
    assert_sound(recorder.history(job_ids))


@pytest.fixture(params=range(SEEDS), ids=lambda seed: f"seed{seed}")
def seed(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value
