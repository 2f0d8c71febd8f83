"""Asking for a video: each way that README.md shows, as it shows it, and what a repeated id means."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from celery.result import AsyncResult

from tests.acceptance import readme
from tests.acceptance.backend import WORDS, Backend, a_spec, new_id
from tests.acceptance.conftest import Run, Stage
from tests.acceptance.ledger import Ledger
from tests.acceptance.objects import Proof
from tests.acceptance.system import System
from tests.conftest import WaitUntil

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Begun:
    """The commands and messages of README.md, run and sent: the jobs wait for a first poll."""

    python: subprocess.Popen[str]
    shell: subprocess.Popen[str]
    sent: AsyncResult[Any]


def begin(stage: Stage) -> Begun:
    names: dict[str, Any] = {"app": stage.backend.app}
    exec(f"sent = {readme.block('python', holding='app.send_task(')}", names)
    return Begun(
        stage.popen(sys.executable, "-c", readme.block("python", holding="enqueue("), env=stage.system.env),
        stage.popen("/bin/sh", "-c", readme.command("callsheet submit --model kling"), env=stage.system.env),
        names["sent"],
    )


@pytest.fixture
def channel(system: System) -> Iterator[redis.client.PubSub]:
    """Redis as a backend in any language listens to it."""
    with (
        redis.Redis.from_url(system.redis_url, decode_responses=True) as client,
        client.pubsub(ignore_subscribe_messages=True) as pubsub,
    ):
        yield pubsub


def test_the_readmes_message_for_other_languages_makes_a_video(
    system: System, channel: redis.client.PubSub, proof: Proof, wait_until: WaitUntil
) -> None:
    job_id = new_id("js")
    message = json.loads(
        readme.block("json", holding="properties", document="worker/messaging/README.md").replace("order-4713", job_id)
    )
    message["body"] = b64encode(json.dumps([[], a_spec(job_id), {}]).encode()).decode()
    place = f"celery-task-meta-{job_id}"
    channel.subscribe(place)

    with redis.Redis.from_url(system.redis_url, decode_responses=True) as client:
        client.lpush("callsheet", json.dumps(message))
        told = wait_until(lambda: _final(channel.get_message()), PATIENCE_SECONDS)
        kept = json.loads(client.get(place) or "{}")

    assert (told["status"], told["result"]) == (kept["status"], kept["result"])
    assert kept["status"] == "SUCCESS"
    assert proof.faults(kept["result"]) == []


def _final(message: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The entry that *message* publishes, once it is no longer that of an open job."""
    entry = json.loads(message["data"]) if message else {}
    return entry if entry.get("status") not in (None, "STARTED") else None


def test_the_readmes_message_of_a_plain_celery_application_makes_a_video(begun: Begun) -> None:
    result = begun.sent.get(timeout=PATIENCE_SECONDS)

    assert (result["job_id"], result["state"], len(result["videos"])) == ("order-4712", "archived", 1)


def test_the_readmes_python_makes_a_video(begun: Begun) -> None:
    output, errors = begun.python.communicate(timeout=PATIENCE_SECONDS)

    assert (begun.python.returncode, errors) == (0, "")
    assert output.startswith("s3://")
    assert output.endswith("/order-4711/1-1.mp4\n")


def test_the_readmes_command_shows_progress_and_ends_with_the_video(begun: Begun) -> None:
    output, errors = begun.shell.communicate(timeout=PATIENCE_SECONDS)

    job_id, *progress, video = output.splitlines()
    assert (begun.shell.returncode, errors) == (0, "")
    assert any(line.startswith("submitted at gmicloud") for line in progress)
    assert video.startswith("s3://")
    assert f"/{job_id}/1-1.mp4 " in video


def test_the_same_id_and_spec_again_is_the_same_job_paid_once(backend: Backend, proof: Proof) -> None:
    job_id = new_id()
    spec = a_spec(job_id)

    first, second = backend.send(job_id, spec), backend.send(job_id, spec)
    result = first.get(timeout=PATIENCE_SECONDS)
    third = backend.send(job_id, spec)

    assert proof.faults(result) == []
    assert second.get(timeout=5) == third.get(timeout=5) == result


def test_the_same_id_with_another_spec_leaves_the_first_job_and_its_result_alone(
    backend: Backend, ledger: Ledger, proof: Proof, callsheet: Run, wait_until: WaitUntil
) -> None:
    job_id = new_id()
    result = backend.send(job_id, a_spec(job_id)).get(timeout=PATIENCE_SECONDS)

    backend.send(job_id, a_spec(job_id, "apimart"))
    refused = callsheet("submit", "--id", job_id, "--spec", "-", stdin=json.dumps(a_spec(job_id, duration=4)))

    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"job {job_id} " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert backend.result(job_id).get(timeout=5) == result
    assert proof.faults(result) == []


def test_a_refused_spec_is_one_line_and_leaves_nothing_behind(callsheet: Run, ledger: Ledger) -> None:
    job_id = new_id()
    spec = a_spec(job_id, duration=99, resolution="8k", first_frame="http://pictures.example.com/a.png")

    refused = callsheet("submit", "--id", job_id, "--spec", "-", stdin=json.dumps(spec))
    shown = callsheet("show", job_id)

    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert all(field in refused.stderr for field in ("duration", "resolution", "first_frame"))
    assert WORDS not in refused.stderr
    assert (shown.returncode, shown.stdout) == (1, "")
    assert f"there is no job {job_id}" in shown.stderr
    assert ledger.posts(job_id) == []
