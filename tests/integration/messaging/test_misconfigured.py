"""Workers with an environment that cannot be used: told at the start, and no message is lost by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from celery import Celery

from deploy.local.tls import LocalTls
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, ROOT, worker_process
from worker.store.keys import Keys


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"AWS_PROFILE": "nobody"}, "AWS_PROFILE names a profile"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:9000"}, "AWS_ENDPOINT_URL_S3 must be"),
    ],
)
@pytest.mark.parametrize("process", ["worker", "web"])
def test_a_process_that_cannot_use_s3_says_so_and_ends(
    redis_url: str, tmp_path: Path, env: dict[str, str], words: str, process: str
) -> None:
    command = {"worker": ["celery", "-A", "worker", "worker"], "web": ["webhook.wsgi"]}[process]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**worker_process(redis_url, tmp_path, {}).env, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert [words in line for line in done.stderr.splitlines()] == [True]


def test_a_worker_that_has_lost_a_file_of_its_configuration_keeps_the_message(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, tls: LocalTls, wait_until: WaitUntil
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(Path(tls.ca_file).read_bytes())
    app = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
    worker = worker_process(redis_url, tmp_path, {"CALLSHEET_CA_FILE": str(ca_file)})
    with worker:
        ca_file.unlink()
        spec = {"model": "kling-3.0-turbo", "prompt": "A corgi", "first_frame": "https://example.com/a.png"}
        result = app.send_task("callsheet.generate", kwargs=spec, task_id="job-1", queue="callsheet")
        wait_until(lambda: "job.unrecorded" in worker.output(), PATIENCE_SECONDS)
        states = {result.state}

        ca_file.write_bytes(Path(tls.ca_file).read_bytes())
        wait_until(lambda: redis_client.exists(*Keys().of("job-1")[:1]), PATIENCE_SECONDS)
        states.add(result.state)

    app.close()
    assert "FAILURE" not in states
    assert json.loads(redis_client.get("celery-task-meta-job-1") or "{}").get("status") != "FAILURE"
