"""Whatever happens, and in whatever order: no video is paid for twice, none after "cancelled", and no id is dropped.

`make test` plays 200 schedules, `make chaos` 5,000 (SCHEDULES=n plays n). One alone, by the number that a failure
names: SCHEDULES=1 FIRST_SCHEDULE=n.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.steps.conftest import Scene
from tests.properties.money_schedules import play

SCHEDULES = int(os.environ.get("SCHEDULES") or 200)
FIRST = int(os.environ.get("FIRST_SCHEDULE") or 0)


@pytest.fixture
def hasty_scene(scene: Scene) -> Iterator[Scene]:
    """A scene whose Redis need not wait for its disk: durability is not what is played here."""
    client = scene.store.scripts.client
    client.config_set("appendfsync", "no")
    yield scene
    client.config_set("appendfsync", "always")


@pytest.mark.timeout(60 + 2 * SCHEDULES)
def test_no_schedule_pays_twice_or_after_a_cancel_or_drops_an_id_that_was_told(hasty_scene: Scene) -> None:
    violations = [violation for seed in range(FIRST, FIRST + SCHEDULES) for violation in play(hasty_scene, seed)]

    assert violations == [], f"{len(violations)} violations in {SCHEDULES} schedules"
