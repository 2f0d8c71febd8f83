"""A spec that every provider takes, and its submission."""

from __future__ import annotations

from collections.abc import Callable

from worker.jobs.spec import JobSpec
from worker.providers.adapter import Adapter
from worker.providers.base import Submission

Connect = Callable[..., Adapter]
SPEC = JobSpec(model="kling-3.0-turbo-t2v", prompt="a dragon takes flight from a cliffside", duration=5)
TAKEN = {"request_id": "r-1", "status": "queued"}


def submit(provider: Adapter) -> Submission:
    return provider.submit(SPEC, images={}, callback_url=None)
