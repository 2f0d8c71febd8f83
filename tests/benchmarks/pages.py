"""The console's pages among 100,000 jobs: milliseconds on the server and kilobytes of each, by one person."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from flask.testing import FlaskClient

from deploy.local.s3 import S3Server
from deploy.local.valkey import Valkey
from tests.benchmarks import crowd
from tests.benchmarks.figures import Section, main, percentile
from tests.benchmarks.lists import JOBS, spread
from tests.benchmarks.system import tell
from worker.console.app import create_app
from worker.operations.view import Reader
from worker.services import Services
from worker.settings.settings import Settings

ROUNDS = 20
MOST_MS, MOST_KB = 150, 60
SECRET = "p" * 32
TOKENS = f"bench:read+prompts+submit+operate+pay:{SECRET}"
PAGES = {
    "jobs": "/",
    "jobs: one state": "/?q=state:submitted",
    "jobs: archived, with frames": "/?q=state:archived",
    "jobs: a tenant (1 %)": "/?q=tenant:tenant-7",
    "jobs: a tenant that no job has": "/?q=tenant:nobody",
    "jobs: a code (1 of 1,000)": "/?q=code:moderation",
    "jobs: stuck": "/?q=is:stuck",
    "job": f"/jobs/{crowd.crowd_id(1)}",
    "preview of a retry": f"/jobs/{crowd.crowd_id(40)}/retry",
    "attention": "/attention",
    "failures: 1 h": "/failures?span=1h",
    "failures: 24 h": "/failures?span=24h",
    "failures: 7 d": "/failures?span=7d",
    "providers": "/providers",
    "money": "/money",
    "money: by day, provider, model, tenant": "/money?by=day&by=provider&by=model&by=tenant",
    "gallery": "/gallery",
    "system": "/system",
    "runbook": "/runbook",
}


def run() -> Section:
    """Each page, as its browser gets it: without videos, and without what browsers keep."""
    section = Section(
        f"The console's pages among {JOBS:,} jobs",
        f"{ROUNDS} times each, on the server, by one person with every scope; the counts per state as in `lists`.",
        ("page", "p50 ms", "p95 ms", "slowest ms", "KB"),
    )
    slowest, largest = 0.0, 0.0
    with (
        tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home,
        Valkey(Path(home, "valkey"), "benchmark") as valkey,
        S3Server(Path(home, "s3")) as s3,
    ):
        crowd.gather(valkey.url, JOBS)
        spread(valkey.url)
        client = signed_in({**crowd.environment(valkey.url), **s3.env, "CALLSHEET_API_TOKENS": TOKENS})
        for name, path in PAGES.items():
            p95, kilobytes = measure(section, client, name, path)
            slowest, largest = max(slowest, p95), max(largest, kilobytes)
            tell(f"pages: {name}: p95 {p95:.0f} ms, {kilobytes:.1f} KB")
    goal, now = f"< {MOST_MS} ms; < {MOST_KB} KB", f"{slowest:.0f} ms; {largest:.0f} KB"
    is_met = slowest < MOST_MS and largest < MOST_KB
    section.judge("pages", "worst page: p95 on the server; size", goal, now, is_met)
    return section


def signed_in(env: dict[str, str]) -> FlaskClient:
    """A client of the application in this process, with a session."""
    os.environ.update(env)  # boto3 reads where S3 is, and the Celery application its settings
    services = Services.from_settings(Settings.from_env(env))
    client = create_app(reader=Reader.from_env(env), services=services, env=env).test_client()
    client.post("/login", data={"token": SECRET}, headers={"Sec-Fetch-Site": "same-origin"})
    return client


def measure(section: Section, client: FlaskClient, name: str, path: str) -> tuple[float, float]:
    """The 95th percentile of the page's milliseconds, and its kilobytes."""
    taken, size = [], 0
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        answer = client.get(path, headers={"Accept": "text/html"})
        taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        size = len(answer.data)
    p95 = percentile(taken[1:], 95)  # the first reads the templates
    section.add(name, percentile(taken[1:], 50), p95, max(taken[1:]), size / 1000)
    return p95, size / 1000


if __name__ == "__main__":
    main(run)
