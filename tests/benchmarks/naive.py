"""The naive program, an afternoon's work, that Callsheet is measured beside.

    celery -A tests.benchmarks.naive worker --concurrency 2

Three tasks, `self.retry(countdown=5)` for polling, a temporary file and `upload_file` for archiving.
Nothing is durable before the POST, nothing confirmed, nothing verified, no callback taken.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import boto3
import requests
from celery import Celery

BROKER = os.environ.get("NAIVE_REDIS_URL")
CA_FILE = os.environ.get("NAIVE_CA_FILE", "")
PROVIDERS = os.environ.get("NAIVE_PROVIDERS", "")  # the base of all three
HEADERS = {"Authorization": "Bearer any"}
PATHS = {
    "gmicloud": ("/api/v1/ie/requestqueue/apikey/requests",) * 2,
    "evolink": ("/v1/videos/generations", "/v1/tasks"),
    "apimart": ("/v1/videos/generations", "/v1/tasks"),
}

app = Celery("naive", broker=BROKER, backend=BROKER)
app.conf.task_default_queue = "naive"


@app.task(name="naive.generate")
def generate(job_id: str, provider: str, body: Mapping[str, Any]) -> None:
    """POST the job, then look for its end."""
    url = f"{PROVIDERS}/{provider}{PATHS[provider][0]}"
    answer = requests.post(url, json=body, headers=HEADERS, verify=CA_FILE, timeout=30)
    answer.raise_for_status()
    poll.delay(job_id, provider, _request_id(answer.json()))


@app.task(name="naive.poll", bind=True, max_retries=None)
def poll(self: Any, job_id: str, provider: str, request_id: str) -> None:
    """GET until there is a link."""
    url = f"{PROVIDERS}/{provider}{PATHS[provider][1]}/{request_id}"
    answer = requests.get(url, headers=HEADERS, verify=CA_FILE, timeout=30)
    link = _link(answer.json())
    if link is None:
        raise self.retry(countdown=5)
    archive.apply_async((job_id, link), task_id=job_id)


@app.task(name="naive.archive")
def archive(job_id: str, link: str) -> str:
    """Download to a file, upload the file."""
    with tempfile.NamedTemporaryFile() as file:
        with requests.get(link, stream=True, verify=CA_FILE, timeout=60) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(256 * 1024):
                file.write(chunk)
        file.flush()
        bucket = os.environ["CALLSHEET_BUCKET"]
        boto3.client("s3").upload_file(file.name, bucket, f"naive/{job_id}.mp4")
    return f"s3://{bucket}/naive/{job_id}.mp4"


def _request_id(told: Mapping[str, Any]) -> str:
    data = told.get("data")
    return str(told.get("request_id") or told.get("id") or (data[0]["task_id"] if data else ""))


def _link(told: Mapping[str, Any]) -> str | None:
    record = told.get("data", told)
    if record["status"] not in ("success", "completed"):
        return None
    if "outcome" in record:
        return str(record["outcome"]["media_urls"][0]["url"])
    if "results" in record:
        return str(record["results"][0])
    url = record["result"]["videos"][0]["url"]
    return str(url[0] if isinstance(url, list) else url)
