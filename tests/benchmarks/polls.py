"""The cost of a poll: an adapter's GET, checks and all, beside a plain `requests.Session`; then the step."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import requests

from deploy.local.tls import LocalTls
from deploy.local.valkey import Valkey
from tests.benchmarks import crowd
from tests.benchmarks.figures import Section, Spread, main
from tests.benchmarks.sink import Sink
from tests.benchmarks.system import tell
from worker.providers.base import Provider
from worker.providers.evolink import EvoLink
from worker.providers.http import Api, trust
from worker.services import Services
from worker.settings.settings import Settings
from worker.steps import poll
from worker.store import connect

POLLS = 700
ROUNDS = 3
PENDING = {
    "created": 1757165031,
    "id": crowd.REQUEST_ID,
    "model": "kling-v3-turbo-image-to-video",
    "object": "video.generation.task",
    "progress": 40,
    "status": "processing",
    "task_info": {"can_cancel": True, "estimated_time": 120},
    "type": "video",
}
"""EvoLink's answer about a request under way."""


def run() -> Section:
    """Polls per second of CPU, beside a plain `requests.Session`."""
    section = Section(
        "What a poll costs",
        f"{POLLS} GETs a round of a record under way, one after the other, TLS, kept connection. Counted is the CPU "
        "time of the asking process: how many polls a second one core carries when nothing else runs there.",
        ("way", "polls per CPU second", "CPU us per poll"),
    )
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home:
        tls, record = LocalTls(Path(home, "tls")).ensure(), Path(home, "record.json")
        record.write_text(json.dumps(PENDING))
        with Sink(Path(home), tls=tls, source=record) as provider, Sink(Path(home, "s3")) as s3:
            ca_file = str(tls.ca_file)
            evolink = EvoLink(Api("evolink", f"{provider.url}/source?", "key", trust(ca_file)))
            with Valkey(Path(home, "valkey"), "benchmark") as valkey, requests.Session() as plain:
                os.environ.update(s3.env)  # boto3 looks nowhere else
                ways: dict[str, Callable[[int], object]] = {
                    "plain `requests.Session`, `.json()`": partial(
                        _ask_plainly, plain, f"{provider.url}/source", ca_file
                    ),
                    "Callsheet's adapter: bounded, strict, typed": partial(_ask, evolink),
                    "the whole step: claim, limits, GET, rest": _step(valkey.url, evolink),
                }
                rates = {name: [rate(way) for _ in range(ROUNDS)] for name, way in ways.items()}
    for name, found in rates.items():
        spread = Spread.of(found)
        section.add(name, spread, 1e6 / spread.median)
    theirs, ours, _ = rates.values()
    ratio = Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
    tell(f"polls: {ratio} of a plain session")
    section.judge("T9", "polls per core against requests.Session", "1.3x", f"{ratio}x", ratio.median >= 1.3)
    return section


def rate(way: Callable[[int], object]) -> float:
    """Polls per CPU second of this process."""
    way(0)
    began = time.process_time()
    for n in range(POLLS):
        way(n)
    return POLLS / (time.process_time() - began)


def _ask_plainly(session: requests.Session, url: str, ca_file: str, _: int) -> None:
    session.get(url, headers={"Authorization": "Bearer key"}, verify=ca_file, timeout=20).json()


def _ask(evolink: EvoLink, _: int) -> None:
    evolink.fetch(crowd.REQUEST_ID)


def _step(redis_url: str, evolink: EvoLink) -> Callable[[int], object]:
    jobs = (POLLS + 1) * ROUNDS
    crowd.gather(redis_url, jobs, due_in_ms=-1000)
    services = Services.from_settings(Settings.from_env(crowd.environment(redis_url)))
    services = replace(services, providers=dict(services.providers) | {"evolink": cast("Provider", evolink)})
    with connect(redis_url) as client:
        client.config_set("appendfsync", "everysec")  # a disk's time is none of the process'
    polled = iter(range(jobs))

    def step(_: int) -> None:
        poll.run(crowd.crowd_id(next(polled)), services)

    return step


if __name__ == "__main__":
    main(run)
