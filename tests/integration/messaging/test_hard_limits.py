"""Celery's hard limits: above all limits of the steps, and a process that is killed by one loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.messaging.conftest import ROOT
from worker.jobs.timing import MINUTE, Timing
from worker.steps import Step

ASK = """
import json
from celery.worker.request import Request
from worker.celery import app
from worker import tasks

limits = {name: task.time_limit for name, task in app.tasks.items() if name.startswith("callsheet.")}
outcome = []


class Message:
    headers = {"id": "job-1", "task": "callsheet.generate", "lang": "py"}
    properties, body, delivery_info, delivery_tag = {"correlation_id": "job-1"}, b"", {}, 1
    content_type, content_encoding, acknowledged = "application/json", "utf-8", False
    payload = ((), {}, {})


request = tasks.GenerateRequest(
    Message(), app=app, task=tasks.generate, decoded=True, body=((), {}, {}), headers=Message.headers,
    on_ack=lambda *_: outcome.append("acknowledged"),
    on_reject=lambda _log, _errors, requeue=False: outcome.append(f"put back: {requeue}"),
)
request.on_timeout(False, 120)
print(json.dumps({"limits": limits, "outcome": outcome, "result": app.backend.get_state("job-1")}))
"""


@pytest.fixture
def told(redis_url: str) -> Any:
    """A worker's own handling of a `generate` whose process was killed by its hard limit, and every limit."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": "bucket",
        "EVOLINK_API_KEY": "key",
        "EVOLINK_BASE_URL": "https://127.0.0.1:1",
    }
    ran = subprocess.run([sys.executable, "-c", ASK], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_task_has_a_hard_limit_above_those_of_its_steps(told: Any) -> None:
    limits, timing = told["limits"], Timing()

    assert set(limits) == {f"callsheet.{step}" for step in (*Step, "generate", "sweep")}
    assert limits["callsheet.submit"] > timing.submit_lease_seconds + 60 * (1 + 5), "a report is offered 60 times"
    assert limits["callsheet.poll"] > 4 * timing.poll_lease_seconds, "32 jobs, 8 at once"
    assert max(limits.values()) <= 20 * MINUTE, "videos are copied beside the tasks, for as long as they flow"


def test_a_spec_whose_recording_is_killed_goes_back_to_its_queue_and_has_not_failed(told: Any) -> None:
    assert told["outcome"] == ["put back: True"]
    assert told["result"] == "PENDING"
