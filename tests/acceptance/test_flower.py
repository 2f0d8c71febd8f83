"""Flower: one row per job, for as long as the job lives, and nothing in it that is nobody's business."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from celery.result import AsyncResult

from tests.acceptance.backend import GENERATE, QUEUE, SIGNATURE, WORDS, Backend, a_spec, new_id
from tests.acceptance.flower_api import Flower
from tests.acceptance.ledger import Ledger
from tests.acceptance.system import System
from tests.conftest import WaitUntil

PATIENCE_SECONDS = 60
CONTROLS = (
    "/api/task/revoke/{job_id}",
    "/api/task/abort/{job_id}",
    "/api/task/apply/callsheet.generate",
    "/api/task/async-apply/callsheet.generate",
    "/api/task/send-task/callsheet.generate",
    "/api/worker/shutdown/{worker}",
    "/api/worker/pool/shrink/{worker}",
    "/api/worker/queue/cancel-consumer/{worker}",
)


def test_a_job_is_one_row_started_until_its_video_is_archived(
    backend: Backend, flower: Flower, wait_until: WaitUntil
) -> None:
    result = backend.ask("evolink", trouble=[{"on": "generation", "seconds": 2}])
    job_id = str(result.id)

    wait_until(lambda: result.state == "STARTED", PATIENCE_SECONDS)
    open_row = wait_until(lambda: _row(flower, job_id, "STARTED"), PATIENCE_SECONDS)
    told = result.get(timeout=PATIENCE_SECONDS)
    row = wait_until(lambda: _row(flower, job_id, "SUCCESS"), PATIENCE_SECONDS)

    assert (open_row["name"], open_row["kwargs"], open_row["succeeded"]) == (GENERATE, "<spec>", None)
    assert json.loads(row["result"]) == [video["uri"] for video in told["videos"]]
    assert (row["name"], row["kwargs"], row["started"]) == (
        GENERATE,
        "<spec>",
        pytest.approx(open_row["started"], abs=1),
    )
    assert row["runtime"] == pytest.approx(row["succeeded"] - row["started"], abs=0.5)
    assert row["runtime"] > 2


def test_a_job_without_a_video_shows_why(
    backend: Backend, held: AsyncResult[Any], flower: Flower, wait_until: WaitUntil
) -> None:
    fate = {"on": "generation", "outcome": "failed", "code": "generation_timeout", "message": "took too long"}
    failed = backend.ask("evolink", trouble=[fate])
    held.revoke()

    failure = wait_until(lambda: _row(flower, str(failed.id), "FAILURE"), PATIENCE_SECONDS)
    revoked = wait_until(lambda: _row(flower, str(held.id), "REVOKED"), PATIENCE_SECONDS)

    assert "timed_out" in failure["exception"]
    assert (failure["name"], revoked["name"]) == (GENERATE, GENERATE)


def _row(flower: Flower, job_id: str, state: str) -> dict[str, Any] | None:
    """The row of *job_id*, once it shows *state*."""
    row = flower.tasks().get(job_id)
    return row if row and row["state"] == state else None


def test_nothing_but_jobs_has_a_row(backend: Backend, flower: Flower, wait_until: WaitUntil) -> None:
    result = backend.ask("evolink")
    result.get(timeout=PATIENCE_SECONDS)
    wait_until(lambda: _row(flower, str(result.id), "SUCCESS"), PATIENCE_SECONDS)

    names = {row["name"] for row in flower.tasks().values()}

    assert names - {"studio.brief", "studio.where", "studio.reel", "studio.complain"} == {GENERATE}


def test_no_page_shows_a_prompt_a_key_a_token_or_a_link(
    system: System, backend: Backend, flower: Flower, ledger: Ledger, wait_until: WaitUntil
) -> None:
    job_id = new_id()
    # a sender that does not hide the spec: Celery itself would show it
    backend.app.send_task(GENERATE, kwargs=a_spec(job_id), task_id=job_id, queue=QUEUE).get(timeout=PATIENCE_SECONDS)
    wait_until(lambda: _row(flower, job_id, "SUCCESS"), PATIENCE_SECONDS)
    workers = wait_until(lambda: _workers(flower), PATIENCE_SECONDS)
    pages = [
        *("/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length"),
        *("/workers", "/tasks", "/broker", "/metrics"),
        *(f"/worker/{name}" for name in workers),
        *(f"{path}/{job_id}" for path in ("/api/task/info", "/api/task/result", "/task")),
    ]

    answers = {page: flower.get(page) for page in pages}

    [post] = ledger.posts(job_id)
    secret = [
        *(WORDS, SIGNATURE, post["body"]["callback_url"].rpartition("/")[2]),
        *(link.rpartition("/")[2] for link in ledger.request(post["request_id"])["links"]),
        *json.loads((system.data / "secrets.json").read_text()).values(),
    ]
    assert {answer.status_code for answer in answers.values()} == {200}
    assert job_id in answers["/api/tasks"].text
    assert [page for page, answer in answers.items() if any(word in answer.text for word in secret)] == []


def _workers(flower: Flower) -> list[str]:
    """The workers' names, once all three have told Flower of themselves."""
    names = list(flower.get("/api/workers", refresh="1").json())
    return names if len(names) >= 3 else []


@pytest.mark.parametrize("page", ["/", "/api/tasks", "/api/workers", "/tasks", "/broker"])
def test_without_the_password_it_answers_401(flower: Flower, page: str) -> None:
    assert requests.get(flower.url + page, timeout=10).status_code == 401


@pytest.mark.parametrize("control", CONTROLS)
def test_it_shows_and_does_not_control(backend: Backend, flower: Flower, control: str) -> None:
    job_id = new_id()

    answer = flower.post(control.format(job_id=job_id, worker="worker@host"))

    assert (answer.status_code, answer.text) == (403, "Read only mode is enabled")
