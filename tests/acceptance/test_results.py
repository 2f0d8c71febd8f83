"""`AsyncResult(job_id)`: what a backend service sees of a job, from the first moment to the last."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import celery
import pytest
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult

from deploy.local.health import log_says
from deploy.local.processes import Process
from tests.acceptance import readme, studio
from tests.acceptance.backend import WORDS, Backend, new_id
from tests.acceptance.conftest import Stage
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Objects, Proof
from tests.acceptance.system import System
from tests.conftest import WaitUntil
from worker.errors import JobFailed

PATIENCE_SECONDS = 60


def begin(stage: Stage) -> AsyncResult[Any]:
    """A long job of a provider that tells progress, once it is polled."""
    return stage.backend.ask("apimart", trouble=[{"on": "generation", "seconds": 300}])


@pytest.fixture(scope="module")
def studio_worker(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The backend service's own worker."""
    directory = tmp_path_factory.mktemp("studio")
    worker = [sys.executable, "-m", "celery", "--app", "tests.acceptance.studio", "worker"]
    process = Process(
        "studio",
        [
            *worker,
            "--pool",
            "solo",
            "--queues",
            studio.QUEUE,
            "--without-gossip",
            "--without-mingle",
            "--loglevel",
            "INFO",
        ],
        directory=readme.ROOT,
        logs=directory,
        env={"PATH": os.environ["PATH"], "STUDIO_REDIS_URL": system.redis_url},
        is_ready=log_says(r"\bready\."),
    )
    with process:
        yield


def test_an_open_job_is_started_and_tells_its_state(backend: Backend, wait_until: WaitUntil) -> None:
    result = backend.ask("evolink", trouble=[{"on": "generation", "seconds": 2}])

    wait_until(lambda: _meta(result).get("state") == "submitted", PATIENCE_SECONDS)

    assert _meta(result) == {"state": "submitted", "progress": 0, "provider": "evolink"}
    assert result.get(timeout=PATIENCE_SECONDS)["state"] == "archived"
    assert result.state == "SUCCESS"


def _meta(result: AsyncResult[Any]) -> dict[str, Any]:
    """The progress that an open job shows; empty once it is final."""
    return dict(result.info or {}) if result.state == "STARTED" else {}


def test_a_generation_that_fails_is_a_failed_job_with_code_message_and_stage(
    backend: Backend, objects: Objects
) -> None:
    fate = {"on": "generation", "outcome": "failed", "code": "content_policy_violation", "message": "not that one"}
    result = backend.ask("evolink", trouble=[fate])

    with pytest.raises(JobFailed) as caught:
        result.get(timeout=PATIENCE_SECONDS)

    assert caught.value.args == ("moderation", "not that one", "generate")
    assert (caught.value.code, caught.value.stage) == ("moderation", "generate")
    assert result.state == "FAILURE"
    assert objects.of(str(result.id)) == []


def test_a_refused_spec_is_a_failed_job_that_names_every_problem(backend: Backend, ledger: Ledger) -> None:
    result = backend.ask("evolink", prompt=WORDS * 100, duration=99, aspect_ratio="16:9")

    with pytest.raises(JobFailed) as caught:
        result.get(timeout=PATIENCE_SECONDS)

    assert (caught.value.code, caught.value.stage) == ("spec_refused", "accept")
    assert all(field in caught.value.message for field in ("prompt", "duration", "aspect_ratio"))
    assert WORDS not in str(caught.value)
    assert ledger.posts(str(result.id)) == []


def test_revoke_cancels_a_job_that_no_provider_has_taken(
    held: AsyncResult[Any], ledger: Ledger, objects: Objects
) -> None:
    held.revoke()

    with pytest.raises(TaskRevokedError):
        held.get(timeout=PATIENCE_SECONDS)
    assert str(held.state) == "REVOKED"
    assert ledger.created(str(held.id)) == []
    assert objects.of(str(held.id)) == []


def test_revoke_does_not_stop_a_job_that_is_paid_for(
    backend: Backend, ledger: Ledger, proof: Proof, wait_until: WaitUntil
) -> None:
    result = backend.ask("evolink", trouble=[{"on": "generation", "seconds": 1.5}])
    wait_until(lambda: _meta(result).get("state") == "submitted", PATIENCE_SECONDS)

    result.revoke()

    assert proof.faults(result.get(timeout=PATIENCE_SECONDS)) == []


def test_a_link_is_called_with_the_result(backend: Backend, studio_worker: None) -> None:
    job_id = new_id()
    after = backend.app.signature("studio.where", queue=studio.QUEUE)

    called = after.freeze()
    backend.signature(job_id).apply_async(link=after)

    assert called.get(timeout=PATIENCE_SECONDS).endswith(f"/{job_id}/1-1.mp4")


def test_a_failed_jobs_errback_is_called(backend: Backend, studio_worker: None) -> None:
    job_id = new_id()
    backend.script(job_id, {"on": "generation", "outcome": "failed"})
    after = backend.app.signature("studio.complain", queue=studio.QUEUE)

    called = after.freeze()
    backend.signature(job_id).apply_async(link_error=after)

    assert called.get(timeout=PATIENCE_SECONDS) == f"no video: {job_id}"


def test_a_chain_goes_on_after_the_video(backend: Backend, studio_worker: None) -> None:
    job_id = new_id()
    before = backend.app.signature("studio.brief", args=("Corgi II",), queue=studio.QUEUE)
    after = backend.app.signature("studio.where", queue=studio.QUEUE)

    end = celery.chain(before, backend.signature(job_id), after, app=backend.app).apply_async()

    assert end.get(timeout=PATIENCE_SECONDS).endswith(f"/{job_id}/1-1.mp4")
    assert backend.result(job_id).state == "SUCCESS"


def test_a_group_is_ready_when_all_its_videos_are(backend: Backend) -> None:
    job_ids = [new_id(), new_id()]

    both = celery.group([backend.signature(job_id) for job_id in job_ids], app=backend.app).apply_async()

    assert [result["job_id"] for result in both.get(timeout=PATIENCE_SECONDS)] == job_ids


def test_a_chord_calls_its_body_with_all_results(backend: Backend, studio_worker: None) -> None:
    job_ids = [new_id(), new_id()]
    body = backend.app.signature("studio.reel", queue=studio.QUEUE)

    cut = celery.chord([backend.signature(job_id) for job_id in job_ids], app=backend.app)(body)

    places = cut.get(timeout=PATIENCE_SECONDS)
    assert [place.split("/")[-2] for place in places] == job_ids


def test_progress_shows_as_the_provider_tells_it(begun: AsyncResult[Any], wait_until: WaitUntil) -> None:
    progress = wait_until(lambda: _meta(begun).get("progress"), PATIENCE_SECONDS)

    assert 0 < progress < 100
