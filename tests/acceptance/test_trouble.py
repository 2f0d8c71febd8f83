"""Providers and downloads in trouble: every job still ends with its video, and is paid for once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.acceptance.backend import Backend
from tests.acceptance.conftest import Run, Stage
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Proof
from tests.conftest import WaitUntil

PATIENCE_SECONDS = 60
TAKEN = {"on": "submit", "created": True}


@dataclass(frozen=True)
class Trouble:
    """A fault at *provider*, and the number of POSTs that it takes."""

    provider: str
    rules: tuple[Mapping[str, Any], ...]
    posts: int = 1
    videos: int = 1


TROUBLES = {
    "429 with Retry-After": Trouble("evolink", ({"on": "submit", "retry_after": 1, "times": 2},), posts=3),
    "503 with Retry-After": Trouble("evolink", ({"on": "submit", "status": 503, "retry_after": 1},), posts=2),
    "500 after creation, settled by callback": Trouble("evolink", ({**TAKEN, "status": 500},)),
    "500 after creation, settled by list": Trouble("gmicloud", ({**TAKEN, "status": 500},)),
    "a proxy's page after creation": Trouble("gmicloud", ({**TAKEN, "html": True},)),
    "connection cut after creation, settled by callback": Trouble("evolink", ({**TAKEN, "cut": True},)),
    "connection cut after creation, settled by list": Trouble("gmicloud", ({**TAKEN, "cut": True},)),
    "an answer cut in half": Trouble("gmicloud", ({**TAKEN, "half": True},)),
    "polls answered 429 and 500": Trouble("evolink", ({"on": "poll", "retry_after": 1}, {"on": "poll", "status": 500})),
    "an unknown status": Trouble("evolink", ({"on": "poll", "status_word": "polishing"},)),
    "a download cut off": Trouble("evolink", ({"on": "download", "truncated": "connection"},)),
    "half a file that looks whole to HTTP": Trouble("evolink", ({"on": "download", "truncated": "file"},)),
    "a page instead of a video": Trouble("evolink", ({"on": "download", "html": True},)),
    "a dead link": Trouble("evolink", ({"on": "download", "dead": True},)),
    "a download answered 500": Trouble("evolink", ({"on": "download", "status": 500},)),
    "two videos for one request": Trouble("evolink", ({"on": "generation", "videos": 2},), videos=2),
    "one of two downloads cut off": Trouble(
        "evolink", ({"on": "generation", "videos": 2}, {"on": "download", "truncated": "connection"}), videos=2
    ),
}


Results = Mapping[str, AsyncResult[Any]]


def begin(stage: Stage) -> Results:
    """Every trouble at once."""
    return {name: stage.backend.ask(trouble.provider, trouble=trouble.rules) for name, trouble in TROUBLES.items()}


@pytest.mark.parametrize("name", TROUBLES)
def test_every_trouble_ends_with_the_video_after_one_creation(
    name: str, begun: Results, ledger: Ledger, proof: Proof
) -> None:
    trouble = TROUBLES[name]

    result = begun[name].get(timeout=PATIENCE_SECONDS)

    assert proof.faults(result) == []
    assert ledger.left(result["job_id"]) == []
    assert len(ledger.posts(result["job_id"])) == trouble.posts
    assert len(result["videos"]) == trouble.videos


def test_a_request_that_nobody_can_confirm_is_never_sent_again(
    backend: Backend, ledger: Ledger, callsheet: Run, wait_until: WaitUntil
) -> None:
    """APIMart lists nothing and its callback is lost: only the deadline will tell."""
    result = backend.ask("apimart", trouble=[{**TAKEN, "cut": True}, {"on": "callback", "lost": True}])
    job_id = str(result.id)

    wait_until(
        lambda: result.state == "STARTED" and _shown(callsheet, job_id)["state"] == "unconfirmed", PATIENCE_SECONDS
    )

    shown = _shown(callsheet, job_id)
    assert len(ledger.posts(job_id)) == 1
    assert shown["open"]
    assert "again" in shown["waits_for"]["words"]


def _shown(callsheet: Run, job_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(callsheet("show", job_id, "--json").stdout)
    return shown


def test_a_refusal_is_told_at_once_and_not_tried_again(backend: Backend, ledger: Ledger) -> None:
    result = backend.ask("apimart", trouble=[{"on": "submit", "status": 400}])

    failure = result.get(timeout=PATIENCE_SECONDS, propagate=False)

    assert (result.state, failure.stage) == ("FAILURE", "submit")
    assert len(ledger.posts(str(result.id))) == 1
