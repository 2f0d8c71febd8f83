"""The backend service's own worker: the tasks that its chains and chords go on with.

    celery --app tests.acceptance.studio worker --queues studio

It knows `STUDIO_REDIS_URL` and nothing of Callsheet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

QUEUE = "studio"

app = Celery("studio", broker=os.environ.get("STUDIO_REDIS_URL"), backend=os.environ.get("STUDIO_REDIS_URL"))


# shared=False: Celery would give them to every application of the process that only collects this test
@app.task(name="studio.brief", shared=False)
def brief(title: str) -> str:
    """A task that comes before a video."""
    return title


@app.task(name="studio.where", shared=False)
def where(result: Mapping[str, Any]) -> str:
    """The place of a result's first video."""
    uri: str = result["videos"][0]["uri"]
    return uri


@app.task(name="studio.reel", shared=False)
def reel(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The places of several results' videos, in order."""
    return [where(result) for result in results]


@app.task(name="studio.complain", shared=False)
def complain(*about: Any) -> str:
    """An errback for a job without a video; Celery gives the failed task's id."""
    return f"no video: {about[0]}"
