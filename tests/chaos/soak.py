"""A soak: mixed load under a seeded schedule of faults, then peace, then every invariant.

    python -m tests.chaos.soak --jobs 2000 --seed 7

The schedule (which job, at which provider, with what trouble, and which fault when) is drawn from the
seed alone, so the same seed plays the same run; how the threads of a machine fall is not in its hand.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import operations as do
from tests.chaos.checker import judge, timeline_of
from tests.chaos.promises import MIB, peaks
from tests.chaos.recorder import Recorder
from tests.chaos.rig import KILL_CHILD, LOSE, freeze
from tests.chaos.system import System, owes_nothing

PROVIDERS = ("gmicloud", "evolink", "apimart")
LONGEST_CALM_SECONDS = 600.0
WAVE = 20
LIMITS = (16, 480)
"""Jobs at a provider at once, and requests a minute: less than the load asks for, so that the limits are felt."""

TROUBLE: tuple[dict[str, Any], ...] = (
    {"on": "submit", "status": 429, "retry_after": 1},
    {"on": "submit", "status": 503, "created": True},
    {"on": "submit", "half": True},
    {"on": "submit", "cut": True, "created": True},
    {"on": "submit", "html": True, "status": 200, "created": True},
    {"on": "callback", "lost": True},
    {"on": "callback", "concurrent": 4},
    {"on": "callback", "duplicates": 2, "reordered": True},
    {"on": "callback", "early": True},
    {"on": "callback", "forged": ["wrong_id", "wrong_token", "contradiction"]},
    {"on": "poll", "status": 500, "times": 3},
    {"on": "poll", "html": True, "status": 200, "times": 2},
    {"on": "poll", "status_word": "pondering", "times": 2},
    {"on": "download", "truncated": "connection"},
    {"on": "download", "half": True},
    {"on": "download", "html": True},
    {"on": "generation", "videos": 2},
    {"on": "generation", "outcome": "failed"},
)

POINTS = (
    "after store.due.claim.accepted",
    "after store.attempts.begin",
    "after provider.submit",
    "after store.attempts.bind",
    "after provider.fetch",
    "while downloading",
    "before put",
    "after bucket.videos.store",
    "after store.jobs.move.archived",
    "after results.tell",
    "before store.notifications.notified",
)
DOORS = ("store", "nudged", "http")
"""The ways in: recorded, recorded and nudged, ordered over HTTP."""


def _instantly(operation: Callable[[System], object]) -> Callable[[System], AbstractContextManager[None]]:
    def done(system: System) -> AbstractContextManager[None]:
        operation(system)
        return nullcontext()

    return done


FAULTS: dict[str, Callable[[System], AbstractContextManager[None]]] = {
    "kill worker": _instantly(lambda system: do.kill(system, "worker")),
    "kill archiver": _instantly(lambda system: do.kill(system, "archiver")),
    "kill sweeper": _instantly(lambda system: do.kill(system, "sweeper")),
    "kill console": _instantly(lambda system: do.kill(system, "console")),
    "end console in order": _instantly(lambda system: do.end_in_order(system, "console")),
    "kill receiver": _instantly(lambda system: do.kill(system, "web")),
    "end receiver in order": _instantly(lambda system: do.end_in_order(system, "web")),
    "kill redis": _instantly(do.kill_redis),
    "restart broker": _instantly(do.restart_broker),
    "lose queues": _instantly(do.lose_queues),
    "double queues": _instantly(do.double_queues),
    "garbage in queue": _instantly(do.put_garbage),
    "forget scripts": _instantly(do.forget_scripts),
    "reset lines to redis": _instantly(do.reset_redis_lines),
    "half-open lines to broker": _instantly(lambda system: system.broker_wire.half_open()),
    "redis paused": do.redis_paused,
    "redis loading": do.redis_loading,
    "redis out of memory": do.out_of_memory,
    "redis read-only": do.read_only,
    "notifications refused": do.notified_sick,
    "evolink refused": lambda system: do.provider_unreachable(system, "evolink", "refused"),
    "gmicloud speaks no tls": lambda system: do.provider_unreachable(system, "gmicloud", "no-tls"),
    "s3 slow down": _instantly(lambda system: system.gate.answer("PUT", "", 503, "SlowDown", times=10)),
}


@dataclass
class Report:
    """The findings of a soak, in figures."""

    seed: int
    jobs: int = 0
    doors: Counter[str] = field(default_factory=Counter)
    notifications: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    recovery_seconds: float = 0.0
    last_open: str = ""
    most_bytes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    breaches: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        doors = ", ".join(f"{name} {count}" for name, count in sorted(self.doors.items()))
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.ends.items()))
        memory = ", ".join(f"{name} {held / MIB:.1f}" for name, held in sorted(self.most_bytes.items()))
        return [
            f"seed {self.seed}: {self.jobs} jobs, {sum(self.faults.values())} faults, {self.seconds:.0f} s",
            f"orders: {doors}; {self.notifications} notifications",
            f"faults: {faults}",
            f"ends: {ends}",
            f"at most, in MiB: {memory}",
            f"settled {self.recovery_seconds:.1f} s after the last fault; last to wait: {self.last_open or 'nobody'}",
            *(self.breaches or ["every invariant holds"]),
        ]


@dataclass(frozen=True)
class Start:
    """A job of the schedule: its provider's *trouble*, what befalls its step at a point, by which door it comes, and
    whether its end is notified."""

    job_id: str
    provider: str
    trouble: tuple[dict[str, Any], ...]
    at_point: tuple[str, str] | None  # the point, and the deed
    door: str
    is_notified: bool


@dataclass(frozen=True)
class Wave:
    """Jobs that start together, and the fault that strikes them for so many seconds."""

    starts: tuple[Start, ...]
    fault: str
    seconds: float


def schedule(*, jobs: int, seed: int) -> Iterator[Wave]:
    """All that will be done to a system, by the seed alone."""
    rng = random.Random(seed)
    for number in range(0, jobs, WAVE):
        starts = tuple(_drawn(rng, f"job-{seed}-{number + k}") for k in range(min(WAVE, jobs - number)))
        yield Wave(starts, rng.choice(sorted(FAULTS)), rng.uniform(0.2, 3.0))


def _drawn(rng: random.Random, job_id: str) -> Start:
    trouble = (rng.choice(TROUBLE),) if rng.random() < 0.5 else ()
    at_point = None
    if rng.random() < 0.1:
        deed = rng.choice([KILL_CHILD, LOSE, freeze(8)])
        at_point = (rng.choice(POINTS), deed)
    return Start(job_id, rng.choice(PROVIDERS), trouble, at_point, rng.choice(DOORS), rng.random() < 0.5)


def soak(system: System, *, jobs: int, seed: int) -> Report:
    """Run it; the report holds every breach with its job's timeline."""
    report, recorder = Report(seed), Recorder(system)
    job_ids: list[str] = []
    started = time.monotonic()
    for wave in schedule(jobs=jobs, seed=seed):
        job_ids += [_begun(system, start, report) for start in wave.starts]
        report.faults[wave.fault] += 1
        with FAULTS[wave.fault](system):
            time.sleep(wave.seconds)
        recorder.observe(job_ids)
    system.mend()
    report.jobs, began = len(job_ids), time.monotonic()
    report.last_open = _wait_for_calm(system, job_ids, recorder)
    report.recovery_seconds = time.monotonic() - began
    history = recorder.history(job_ids)
    report.notifications = sum(len(told.notified) for told in history.jobs.values())
    report.most_bytes = peaks(history.samples)
    report.seconds = time.monotonic() - started
    report.ends.update(str(told.job.state) if told.job else "gone" for told in history.jobs.values())
    for breach in judge(history):
        report.breaches.append(f"{breach.job_id or 'the run'}: {breach.what}")
        report.breaches += timeline_of(breach.job_id, history.jobs[breach.job_id]) if breach.job_id else []
    return report


def _begun(system: System, start: Start, report: Report) -> str:
    """The job, once it is recorded, and all that is to befall it arranged."""
    if start.at_point:
        point, deed = start.at_point
        system.rig.arm(point, start.job_id, deed)
        report.faults[f"at a point: {deed}"] += 1
    report.faults.update(f"provider: {rule['on']}" for rule in start.trouble)
    report.doors[start.door] += 1
    begin = {"store": system.record, "nudged": system.start_job, "http": system.order}[start.door]
    wish = {"notify_url": system.notified.url()} if start.is_notified else {}
    return begin(start.provider, *start.trouble, job_id=start.job_id, **wish)


def _wait_for_calm(system: System, job_ids: list[str], recorder: Recorder) -> str:
    """Until every job is final and told, or the patience is over; the last one to wait, and for what."""
    deadline, last = time.monotonic() + LONGEST_CALM_SECONDS, ""
    while time.monotonic() < deadline:
        recorder.observe(job_ids)
        found = list(system.store.records.read(job_ids))
        waiting = [job for job in found if not (job.is_final and owes_nothing(job))]
        if len(found) == len(job_ids) and not waiting:
            return last
        if waiting:
            job = waiting[0]
            last = f"{job.id} of {len(waiting)}, {job.state}, nudged {job.nudges} times, for {job.waiting_for or '-'}"
        time.sleep(1)
    return last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, System(Path(directory), limits=LIMITS) as system:
        report = soak(system, jobs=options.jobs, seed=options.seed)
    print("\n".join(report.lines()))  # noqa: T201  its whole purpose
    return 1 if report.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
