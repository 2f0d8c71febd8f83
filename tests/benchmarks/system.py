"""The whole system as processes, with a byte sink for a bucket, and the load that goes through it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import redis
from celery import Celery

from deploy.local.stack import Stack
from tests.benchmarks.sink import Sink
from worker.errors import CallsheetError

FRAME = "https://pictures.example.com/frame-640x640.png"
SPECS: Mapping[str, Mapping[str, Any]] = {
    "gmicloud": {"model": "kling-3.0-turbo-t2v", "duration": 3},
    "evolink": {"model": "kling-v3-turbo-image-to-video", "duration": 3, "first_frame": FRAME},
    "apimart": {"model": "kling-3.0-turbo", "duration": 3},
}
WORDS = (
    "Early morning on a quiet shore. A small corgi with wet paws trots out of the mist, stops, shakes itself, looks"
    " straight at us. Behind it lie overturned rowing boats, ropes, crab pots and a bicycle without a front wheel. "
    "The camera starts knee-high, drifts left past a rusted winch, then climbs slowly until the whole bay opens: slate "
    "roofs, one lit window, gulls turning over the pier. Sunlight breaks through at four seconds and paints a "
    "narrow orange path on the water; the dog barks twice, runs along that path and throws up bright drops. Closer: "
    "fur in the wind, breath visible in cold air, a red collar with a brass tag. An old fisherman in a green oilskin "
    "enters from the right, carrying two buckets, nods, whistles. They walk away together towards the harbour wall, "
    "shadows long before them. Film look: 35 mm, shallow focus, soft grain, muted teal and amber, no text, no logo. "
    "Movement stays natural, never faster than a walk except for the run; keep faces undistorted and hands complete. "
    "Sound: surf, distant bell buoy, claws on wet planks, a kettle somewhere. End on the empty pier while the fog "
    "closes again, holding the last frame for half a second so that it can loop. Mood: tender, slightly funny, like "
    "a postcard somebody forgot to send. Avoid crowds, drones, lens flare, modern cars and any snow on the hills."
)
"""A prompt of 1.4 KB: as long, and as hard to pack, as real ones are."""


class BenchmarkError(CallsheetError):
    """A benchmark did not get to its figure."""


def spec(n: int, provider: str | None = None) -> dict[str, Any]:
    """The *n*-th spec of a load: all providers in turn."""
    name = provider or tuple(SPECS)[n % len(SPECS)]
    return {"provider": name, **SPECS[name], "prompt": f"take {n}: {WORDS}"}


def tell(text: str) -> None:
    """A line of progress, beside the report."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


def wait_for(is_done: Callable[[], bool], seconds: float, what: str, *, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


@contextmanager
def system(*, generation_seconds: float, user: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A running stack over a byte sink."""
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home, Sink(Path(home)) as sink:
        env = {"PATH": os.environ["PATH"], "HOME": home, **sink.env, **(user or {})}
        with Stack(Path(home, "data"), env=env, generation_seconds=generation_seconds) as stack:
            yield stack


class Backend:
    """A service that enqueues by message and looks how many results it has."""

    def __init__(self, redis_url: str) -> None:
        self.app = Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False)
        self._client = redis.Redis.from_url(redis_url)

    def send(self, job_id: str, fields: Mapping[str, Any]) -> None:
        self.app.send_task(
            "callsheet.generate", kwargs=dict(fields), task_id=job_id, queue="callsheet", kwargsrepr="<spec>"
        )

    def succeeded(self, job_ids: Sequence[str]) -> int:
        """The number of jobs that have their result."""
        held = self._client.mget([f"celery-task-meta-{job_id}" for job_id in job_ids])
        return sum(b'"SUCCESS"' in entry for entry in held if entry)

    def count_commands(self) -> None:
        """Begin to count anew what Redis is asked."""
        self._client.config_resetstat()

    def commands(self) -> dict[str, int]:
        """The number of script runs in Redis, and of all commands, those inside of scripts too."""
        stats = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(told["calls"]) for name, told in stats.items()}
        return {"evalsha": calls.get("evalsha", 0), "all": sum(calls.values())}

    def close(self) -> None:
        self.app.close()
        self._client.close()
