"""Whatever operators see and do can be had without the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.cli.conftest import ROOT, Lives, environment, lives, living, store
from worker.jobs.job import JobError
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.store import Store

__all__ = ["environment", "lives", "living", "store"]  # fixtures

Door = Callable[..., Any]


@pytest.fixture
def door(environment: dict[str, str]) -> Door:
    """`door(verb, argument)`: what another process is told, which has not imported the command line."""

    def ask(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.operations.door", *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["imports_cli"] is False
        return answer["told"]

    return ask


def test_jobs_are_listed_shown_and_explained(door: Door, lives: Lives) -> None:
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "moderated", "the prompt was refused"))

    [listed], shown = door("list"), door("show", "bad")

    assert (listed["job_id"], shown["job_id"]) == ("bad", "bad")
    assert listed["error"] == shown["error"]
    assert listed["error"] == {"stage": "submit", "code": "moderated", "message": "the prompt was refused"}
    assert door("explain", "bad").startswith("nothing: it ended without a video")
    assert door("stuck") == []


def test_jobs_are_cancelled_and_retried(door: Door, lives: Lives) -> None:
    lives.accept("j1")

    assert door("cancel", "j1")["outcome"] == "cancelled"
    assert door("retry", "j1")["outcome"] == "new_attempt"


def test_callbacks_are_replayed(door: Door, store: Store, lives: Lives) -> None:
    lives.accept("j1")
    lives.submit("j1")
    event = ProviderEvent("r-j1", EventKind.FAILED, "failed")
    store.callbacks.arrive(
        "j1", attempt=1, request_id="r-j1", fingerprint="f", is_terminal=True, event_json=event_json.dump(event)
    )

    assert door("replay", "j1")["outcome"] == "replayed"


def test_providers_are_paused_and_resumed_and_records_restored(door: Door, store: Store) -> None:
    assert door("pause", "evolink")["waiting"] == 0
    assert "evolink" in store.pauses.paused()
    assert door("resume", "evolink")["was_paused"] is True
    assert door("restore") == {"restored": 0, "known": 0, "conflict": 0, "unreadable": 0, "bound": 0, "lost": 0}


@pytest.mark.usefixtures("living")
def test_the_system_is_examined(door: Door) -> None:
    marks = set(door("examine"))

    assert "ok" in marks
    assert "FAIL" not in marks  # it warned once on a busy machine, and of what was not seen
