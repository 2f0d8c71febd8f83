"""From "the provider has it" to "it is in the bucket": ten jobs a second, by callback and by poll."""

from __future__ import annotations

import secrets
import time

from deploy.local.stack import Stack
from deploy.sandbox.client import SandboxControl
from tests.benchmarks.figures import Section, main, percentile
from tests.benchmarks.system import Backend, spec, system, tell, wait_for
from worker.jobs.timing import DAY, LEAST_HISTORY, ms
from worker.store import Store, connect

PER_SECOND = 10
SECONDS = 12
GENERATION_SECONDS = 3.0
PATIENCE_SECONDS = 60.0
NAIVE_MS = 2000
"""The naive program's delay at this load (the design's performance notes): its poll's countdown."""


def run() -> Section:
    """Provider finished -> in the bucket, by callback and by poll, at ten jobs a second."""
    section = Section(
        "Finished -> in the bucket",
        f"Generations of {GENERATION_SECONDS:g} s, {PER_SECOND} new jobs a second for {SECONDS} s, small videos, byte "
        "sink. From the instant that the sandbox has the video to the durable move to `archived`: callback over TLS, "
        "or poll; confirming GET, download, verification, PUT.",
        ("how", "jobs", "p50 ms", "p95 ms", "p99 ms"),
    )
    with system(generation_seconds=GENERATION_SECONDS) as stack:
        measure(stack, "evolink", jobs=10)
        measure(stack, "gmicloud", jobs=LEAST_HISTORY + 4)  # the timing learns how long the model takes
        for name, provider in (("by callback", "evolink"), ("by poll", "gmicloud")):
            delays = measure(stack, provider, jobs=PER_SECOND * SECONDS)
            p50, p95, p99 = (percentile(delays, percent) for percent in (50, 95, 99))
            section.add(name, len(delays), p50, p95, p99)
            tell(f"finished -> bucket {name}: {p50:.0f} ms")
            if provider == "evolink":
                section.judge("T6", "p50 by callback", "25 ms", f"{p50:.0f} ms", p50 <= 25)
    return section


def measure(stack: Stack, provider: str, *, jobs: int) -> list[float]:
    """Milliseconds from the end of each job's generation to its `archived`."""
    redis_url = stack.env["CALLSHEET_REDIS_URL"]
    backend, control = Backend(redis_url), SandboxControl(stack.sandbox.url, stack.sandbox.ca_file)
    job_ids = [f"delay-{secrets.token_hex(5)}" for _ in range(jobs)]
    began = time.monotonic()
    for n, job_id in enumerate(job_ids):
        time.sleep(max(0.0, began + n / PER_SECOND - time.monotonic()))
        backend.send(job_id, spec(n, provider))
    wait_for(lambda: backend.succeeded(job_ids) == jobs, PATIENCE_SECONDS, f"{jobs} jobs at {provider}", every=0.2)
    backend.close()
    finished = {entry["request_id"]: float(entry["finishes_at"]) * 1000 for entry in control.requests(provider)}
    with connect(redis_url) as client:
        store = Store(client, retention_ms=ms(30 * DAY))
        found = [store.jobs.get(job_id) for job_id in job_ids]
    return [job.state_at - finished[str(job.request_id)] for job in found if job is not None]


if __name__ == "__main__":
    main(run)
