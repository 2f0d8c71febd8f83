"""Orders and waits of a backend that holds the client alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from callsheet_client import (
    AccessDenied,
    Callsheet,
    DownloadFailed,
    JobCancelled,
    JobFailed,
    NoSuchJob,
    OrderRefused,
    Result,
    Spec,
    SpecConflict,
    StillOpen,
    Unreachable,
)
from deploy.local.ports import free_port
from tests.integration.client.conftest import Lives, Served
from tests.integration.console.conftest import SECRETS
from worker.jobs.job import JobError
from worker.jobs.states import JobState

SPEC = Spec(model="kling-3.0-turbo", provider="apimart", prompt="A corgi", metadata={"order": 4711})


def test_an_order_is_durable_when_it_returns(callsheet: Callsheet, lives: Lives) -> None:
    job = callsheet.order(SPEC, job_id="order-4711")

    assert (job.job_id, job.state, job.metadata) == ("order-4711", "accepted", {"order": 4711})
    assert lives.store.jobs.get("order-4711") is not None


def test_the_same_order_again_is_the_same_job(callsheet: Callsheet) -> None:
    first = callsheet.order(SPEC, job_id="order-4711")

    assert callsheet.order(SPEC, job_id="order-4711").ver == first.ver


def test_an_order_without_an_id_is_given_one(callsheet: Callsheet) -> None:
    assert callsheet.job(callsheet.order(SPEC).job_id).state == "accepted"


def test_another_spec_under_the_same_id_is_a_conflict(callsheet: Callsheet) -> None:
    callsheet.order(SPEC, job_id="order-4711")

    with pytest.raises(SpecConflict, match="order-4711"):
        callsheet.order({**SPEC.document(), "prompt": "A cat"}, job_id="order-4711")


def test_an_order_that_cannot_be_made_names_every_problem(callsheet: Callsheet) -> None:
    with pytest.raises(OrderRefused) as refused:
        callsheet.order({**SPEC.document(), "duration": 99, "resolution": "8k", "colour": "red"}, job_id="order 4711")

    assert {problem.partition(":")[0] for problem in refused.value.problems} >= {"colour"}
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("secret", ["unknown" * 6, SECRETS["read"]])
def test_a_token_that_may_not_is_told_so(served: Served, secret: str) -> None:
    with Callsheet(served.url, secret) as client, pytest.raises(AccessDenied, match=r"token"):
        client.order(SPEC)


def test_a_job_that_is_not_there_is_told_so(callsheet: Callsheet) -> None:
    with pytest.raises(NoSuchJob):
        callsheet.wait("../doctor", timeout_seconds=1)


def test_a_server_that_is_not_there_is_told_so() -> None:
    with Callsheet(f"http://127.0.0.1:{free_port()}", "x") as client, pytest.raises(Unreachable, match="call again"):
        client.order(SPEC)


def test_one_that_waits_has_the_result_at_the_end(callsheet: Callsheet, lives: Lives) -> None:
    lives.accept("j1")
    told: list[Result] = []
    waiting = threading.Thread(target=lambda: told.append(callsheet.wait("j1", timeout_seconds=100)))
    waiting.start()

    lives.submit("j1")
    lives.archive("j1")
    waiting.join(60)

    assert (told[0].state, told[0].videos[0].uri) == ("archived", "s3://bucket/j1/1-1.mp4")


def test_a_failed_job_says_why(callsheet: Callsheet, lives: Lives) -> None:
    lives.accept("bad")
    lives.fail("bad", JobError("submit", "moderation", "the prompt was refused"))

    with pytest.raises(JobFailed) as failed:
        callsheet.wait("bad", timeout_seconds=10)

    assert (failed.value.code, failed.value.stage) == ("moderation", "submit")


def test_a_cancelled_job_is_told_as_one(callsheet: Callsheet, served: Served, lives: Lives) -> None:
    lives.accept("j1")
    served.ask("POST", "/v1/jobs/j1/cancel", json={})

    with pytest.raises(JobCancelled):
        callsheet.wait("j1", timeout_seconds=10)


def test_a_job_that_does_not_end_in_time_goes_on(callsheet: Callsheet, lives: Lives) -> None:
    lives.accept("j1")

    with pytest.raises(StillOpen, match="still accepted"):
        callsheet.wait("j1", timeout_seconds=1)

    assert lives.store.jobs.get("j1").state is JobState.ACCEPTED  # type: ignore[union-attr]


def test_a_video_that_does_not_come_leaves_no_file(callsheet: Callsheet, lives: Lives, tmp_path: Path) -> None:
    lives.accept("j1")
    lives.submit("j1")
    lives.archive("j1")  # its video is not in the bucket

    with pytest.raises(DownloadFailed):
        callsheet.fetch("j1", tmp_path / "corgi.mp4")

    assert list(tmp_path.glob("*corgi*")) == []


def test_a_video_that_there_is_not_is_told_so(callsheet: Callsheet, lives: Lives, tmp_path: Path) -> None:
    lives.accept("j1")

    with pytest.raises(NoSuchJob, match="has 0 videos"):
        callsheet.fetch("j1", tmp_path / "corgi.mp4")
