"""The real services of a process, with a point of the rig before and after every call that matters."""

from __future__ import annotations

import copy
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos.rig import Rig
from worker.jobs.job import Job
from worker.jobs.timing import HOUR, Timing
from worker.services import Results, Services
from worker.settings.settings import Settings
from worker.store import Claim, Store

RIG_VARIABLE = "CHAOS_RIG"

STORE = {
    "attempts": frozenset({"begin", "bind"}),
    "callbacks": frozenset({"arrive"}),
    "due": frozenset({"claim", "renew", "rest", "nudge"}),
    "jobs": frozenset({"accept", "move", "delivered"}),
    "notifications": frozenset({"notified"}),
}
"""The watched methods of the store's parts."""
PROVIDER = frozenset({"submit", "fetch", "recent"})
BUCKET = {
    "videos": frozenset({"find", "store"}),
    "manifests": frozenset({"put"}),
    "intents": frozenset({"begin"}),
}
RESULTS = frozenset({"tell", "started"})


@dataclass(frozen=True)
class HastyTiming(Timing):
    """The policy with leases and waits of seconds, so that what a crash costs is waited for, not imagined."""

    submit_lease_seconds: float = 6.0
    post_room_seconds: float = 3.0
    post_seconds: float = 2.0
    poll_lease_seconds: float = 5.0
    archive_lease_seconds: float = 4.0
    archive_renew_seconds: float = 1.0
    deliver_lease_seconds: float = 4.0
    notify_lease_seconds: float = 4.0
    unconfirmed_deadline_seconds: float = 15.0
    show_after_seconds: float = 5.0
    look_again_seconds: float = 2.0
    submit_deadline_seconds: float = HOUR

    def first_poll_seconds(self, estimate_seconds: float, *, calls_back: bool, rng: random.Random) -> float:
        return 6.0 if calls_back else 1.0

    def learned_first_poll_seconds(
        self, took_seconds: Sequence[float], *, calls_back: bool, rng: random.Random
    ) -> float | None:
        return None

    def next_poll_seconds(self, waited_seconds: float, *, calls_back: bool, rng: random.Random) -> float:
        return 2.0 if calls_back else 1.0

    def retry_seconds(self, failures: int, rng: random.Random, retry_after: float | None = None) -> float:
        return retry_after if retry_after is not None else min(2.0, 0.5 * 2 ** min(failures, 5))


class Seam:
    """A part of `Services` with points around its *watched* methods; everything else is the part's own."""

    def __init__(self, part: object, name: str, watched: frozenset[str], points: Points) -> None:
        self._part = part
        self._name = name
        self._watched = watched
        self._points = points

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._part, attribute)
        return self._pointed(attribute, found) if attribute in self._watched else found

    def _pointed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        where = f"{self._name}.{name}"

        def pointed(*args: Any, **options: Any) -> Any:
            place = f"{where}.{args[1]}" if where == "store.jobs.move" else where
            self._points.meet(args)
            self._points.reach(f"before {place}")
            if where == "bucket.videos.store":
                args, options = self._points.within_upload(args, options)
            answer = method(*args, **options)
            if where == "store.due.claim" and isinstance(answer, Claim):
                place = f"{where}.{answer.job.state}"
            self._points.reach(f"after {place}")
            return answer

        return pointed


class Points:
    """A process's position: the job that each of its threads works on."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._present = threading.local()

    def meet(self, args: tuple[Any, ...]) -> None:
        """Learn from a call's first argument which job this thread works on; a key or a provider's id tells nothing."""
        first = args[0] if args else None
        if isinstance(first, Claim):
            self._present.job_id = first.job.id
        elif isinstance(first, Job):
            self._present.job_id = first.id
        elif isinstance(first, str) and first.startswith("job-") and "/" not in first:
            self._present.job_id = first

    def reach(self, point: str) -> None:
        self._rig.reach(point, getattr(self._present, "job_id", "nobody"))

    def within_upload(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A point after the first bytes have come, and one between the last look at the lease and the request."""
        key, chunks = args
        keep_lease = options["before_complete"]

        def before_complete() -> None:
            keep_lease()
            self.reach("before put")

        return (key, self._flowing(chunks)), {**options, "before_complete": before_complete}

    def _flowing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            yield chunk
            if number == 0:
                self.reach("while downloading")


def rigged_store(store: Store, env: Mapping[str, str] = os.environ) -> Store:
    return seamed_store(store, Points(Rig(Path(env[RIG_VARIABLE]))))


def seamed_store(store: Store, points: Points) -> Store:
    """*store* with points around the watched methods of its parts."""
    seamed = copy.copy(store)
    for part, watched in STORE.items():
        setattr(seamed, part, Seam(getattr(store, part), f"store.{part}", watched, points))
    return seamed


def rigged_services(results: Callable[[Store], Results], env: Mapping[str, str] = os.environ) -> Services:
    """The services of `Services.from_settings`, rigged and hasty."""
    services = Services.from_settings(Settings.from_env(env), results=results)
    points = Points(Rig(Path(env[RIG_VARIABLE])))

    def seam(part: object, name: str, watched: frozenset[str]) -> Any:
        return Seam(part, name, watched, points)

    bucket = services.bucket
    for part, watched in BUCKET.items():
        setattr(bucket, part, seam(getattr(bucket, part), f"bucket.{part}", watched))
    return replace(
        services,
        store=seamed_store(services.store, points),
        providers={name: seam(adapter, "provider", PROVIDER) for name, adapter in services.providers.items()},
        bucket=bucket,
        results=seam(services.results, "results", RESULTS),
        timing=HastyTiming(),
    )
