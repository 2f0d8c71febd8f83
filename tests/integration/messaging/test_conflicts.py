"""A message with a used id and another spec: its sender is told as far as Celery allows."""

from __future__ import annotations

import json

from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, Office
from tests.integration.messaging.letters import letter

SPEC = {
    "model": "kling-v3-turbo-image-to-video",
    "prompt": "a corgi",
    "first_frame": "https://pictures.example.com/frame-640x640.png",
    "duration": 3,
}
OTHER = {**SPEC, "prompt": "a cat"}
ERRBACK: dict[str, object] = {
    "task": "theirs.refused",
    "args": [],
    "kwargs": {},
    "options": {"queue": "theirs"},
    "subtask_type": None,
}


def test_its_errback_hears_of_it_and_the_first_job_keeps_its_result(office: Office, wait_until: WaitUntil) -> None:
    headers = {"id": "used"}
    office.after(lambda: office.post(letter("callsheet.generate", kwargs=SPEC, headers=headers)))
    before = office.redis.get("celery-task-meta-used")

    embed = {"callbacks": None, "errbacks": [ERRBACK], "chain": None, "chord": None}
    said = office.after(lambda: office.post(letter("callsheet.generate", kwargs=OTHER, headers=headers, embed=embed)))

    wait_until(lambda: office.redis.llen("theirs") == 1, PATIENCE_SECONDS)
    message = json.loads(office.redis.lindex("theirs", 0) or "{}")
    assert (message["headers"]["task"], message["headers"]["parent_id"]) == ("theirs.refused", "used")
    assert office.redis.get("celery-task-meta-used") == before
    assert "job.conflicted job_id=used" in said
    assert "Traceback" not in said
    assert int(office.redis.hget("callsheet:{0}:counters", "spec_conflicts") or 0) == 1
