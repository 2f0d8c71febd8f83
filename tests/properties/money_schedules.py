"""Random schedules of one job's life, and the verdict on its money.

A schedule is played by two processes over real servers: POSTs that are refused, cut off or answered to nobody,
processes killed or paused between any two requests, answers of Redis and S3 lost, Redis set back to an earlier
self, S3 away, restarts, cancels, retries, callbacks, with sweeps or without. At any of those points the other
process may take a whole step. At the end all is up again, and the job is looked at until it rests.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from tests.integration.ledger_check import differences
from tests.integration.steps.conftest import HOUR, MINUTE, Scene
from tests.integration.steps.meddling import Meddler, killed
from tests.integration.steps.rollbacks import MeddledIntents, Rollback, snapshot, with_intents
from worker.errors import BucketError, CallsheetError, StoreError
from worker.jobs.states import FINAL, JobState
from worker.operations import cancel, retry
from worker.operations.overdue import step_of
from worker.providers.base import Provider, Submission
from worker.services import Services
from worker.steps import Step, accept, batch
from worker.store import Store
from worker.store.scripts import Scripts

S = JobState
PROVIDERS = ("apimart", "gmicloud", "evolink")
SCRIPTS = ("claim", "begin", "move", "rest", "accept")
REQUESTS = ("begin", "withhold", "begun", "keep")
POINTS = (
    *(f"{when} {script}" for when in ("before", "after") for script in SCRIPTS),
    *(f"{when} bucket.intents.{request}" for when in ("before", "after") for request in REQUESTS),
    *("before POST", "after POST"),
)
LIKELY = (
    "before begin",
    "after begin",
    "before bucket.intents.begin",
    "after bucket.intents.begin",
    "before POST",
    "after POST",
)
"""The places where money is decided; half of all events happen there."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429},
    {"status": 503, "retry_after": 5},
    {"status": 500},
    {"status": 400},
    {"cut": True, "created": True},
    {"cut": True, "created": False},
)
RESTING = (S.SUBMITTED, S.GENERATED, S.ARCHIVED)
MOST_LOOKS = 80


@dataclass
class Schedule:
    """One job's life so far, and what was said of it."""

    scene: Scene
    rng: random.Random
    job_id: str
    provider: str
    trail: list[str] = field(default_factory=list)
    snapshots: list[Rollback] = field(default_factory=list)
    s3_is_away: bool = False
    posted_in: list[int] = field(default_factory=list)  # the attempt of each POST, in order
    told: dict[str, int] = field(default_factory=dict)  # request id that Redis or the bucket has taken -> its attempt
    cancelled: set[int] = field(default_factory=set)  # attempts of which "cancelled, nothing was paid" was said
    leave_to_pay: bool = False

    def __post_init__(self) -> None:
        self.processes = [Process(self), Process(self)]

    def note(self, happening: str) -> None:
        self.trail.append(happening)

    def safely(self, act: Callable[[], object]) -> None:
        """Do *act* as a process would: an error is the end of that run, a kill that of the process."""
        try:
            act()
        except CallsheetError as err:
            self.note(f"  {type(err).__name__}")
        except KeyboardInterrupt:
            self.note("  killed")

    def play(self, length: int) -> None:
        self.safely(self._accept)
        for _ in range(length):
            action = self.rng.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            self.note(action)
            self.safely(getattr(self, f"_{action}"))

    def settle(self, *, with_sweeps: bool) -> None:
        """All is up again; the sender sends what is lost, and the job is looked at until it rests."""
        self.s3_is_away = False
        for process in self.processes:
            process.plan.clear()
        self.note("settle")
        for _ in range(MOST_LOOKS):
            job = self.scene.store.jobs.get(self.job_id)
            if job is None:
                self._accept()
                continue
            due_at = self.scene.store.due.at(self.job_id)
            if due_at is None or job.state in RESTING or job.state in FINAL:
                return
            self.scene.advance(max(0.0, (due_at - self.scene.clock.now_ms) / 1000) + 0.001)
            if with_sweeps:
                for step, job_id in self.scene.sweep():
                    batch.take(step, [job_id], self.processes[0].services)
            else:
                self.safely(partial(self.processes[0].look, step_of(job)))
        raise AssertionError(f"it never rests: {self.story()}")

    def violations(self) -> list[str]:
        """List the broken invariants."""
        calls = self.scene.calls("POST", self.job_id)
        assert len(calls) == len(self.posted_in), f"POSTs that nobody made: {self.story()}"
        paid = [attempt for attempt, call in zip(self.posted_in, calls, strict=True) if call["request_id"]]
        job = self.scene.job(self.job_id)
        found = []
        if any(paid.count(attempt) > 1 for attempt in paid) or (len(paid) > 1 and not self.leave_to_pay):
            found.append(f"paid twice: attempts {paid}")
        if self.cancelled.intersection(paid):
            found.append(f"cancelled, and paid: {self.cancelled}, {paid}")
        known = set(job.request_ids.values())
        dropped = {request_id for request_id, attempt in self.told.items() if attempt <= job.attempt} - known
        if dropped:
            found.append(f"dropped: {dropped}, known {known}")
        return [*found, *differences(self.scene.store)]

    def story(self) -> str:
        moves = self.scene.moves(self.job_id) if self.scene.store.jobs.get(self.job_id) else []
        return f"{self.job_id} at {self.provider}: {' | '.join(self.trail)} => {moves}"

    # what can happen

    def _accept(self) -> None:
        spec = self.scene.spec(self.provider, self.job_id)
        accept.run(self.job_id, spec, self.processes[0].services)

    def _step(self) -> None:
        process = self.rng.choice(self.processes)
        for _ in range(self.rng.choice((0, 1, 1, 2))):
            self.plan_for(process)
        self.take_step(process, wait=self.rng.choice((True, True, True, False)))

    def plan_for(self, process: Process) -> None:
        """Have something happen at one point of the process's next step."""
        point = self.rng.choice(LIKELY if self.rng.random() < 0.5 else POINTS)
        happening = self.rng.choice(HAPPENINGS)
        process.plan.setdefault(point, []).extend([happening] * self.rng.choice((1, 1, 1, 65)))

    def take_step(self, process: Process, *, wait: bool) -> None:
        job, due_at = self.scene.store.jobs.get(self.job_id), self.scene.store.due.at(self.job_id)
        if job is None or due_at is None:
            return
        if wait:
            self.scene.advance(max(0.0, (due_at - self.scene.clock.now_ms) / 1000) + 0.001)
        self.safely(lambda: process.look(step_of(job)))
        process.plan.clear()

    def _fault(self) -> None:
        self.scene.rule("submit", **self.rng.choice(FAULTS))

    def _advance(self) -> None:
        self.scene.advance(self.rng.choice((5, 130, 5 * MINUTE, 40 * MINUTE, 3 * HOUR, 7 * HOUR)))

    def _snapshot(self) -> None:
        self.snapshots.append(snapshot(self.scene))

    def _rollback(self) -> None:
        if self.snapshots:
            self.rng.choice(self.snapshots)()

    def _cancel(self) -> None:
        process = self.rng.choice(self.processes)
        if self.rng.random() < 0.4:
            self.plan_for(process)
        self.cancel_by(process)
        process.plan.clear()

    def cancel_by(self, process: Process) -> None:
        reply = cancel.run(self.job_id, process.services)
        self.note(f"  cancel {reply.word}")
        if reply.job is not None and (reply.applied or reply.job.state is S.CANCELLED):
            self.cancelled.add(reply.job.attempt)

    def _retry(self) -> None:
        pay_again = self.rng.random() < 0.3
        reply = retry.run(self.job_id, self.rng.choice(self.processes).services, pay_again=pay_again)
        self.note(f"  retry {reply.word}{' with leave' if pay_again else ''}")
        self.leave_to_pay |= reply.applied and pay_again

    def _restart(self) -> None:
        self.processes[self.rng.randrange(2)] = Process(self)

    def _s3(self) -> None:
        self.s3_is_away = not self.s3_is_away

    def _callback(self) -> None:
        if self.provider == "evolink" and self.told:
            request_id, attempt = self.rng.choice(sorted(self.told.items()))
            self.scene.deliver(self.job_id, request_id=request_id, attempt=attempt)

    def _sweep(self) -> None:
        for step, job_id in self.scene.sweep():
            batch.take(step, [job_id], self.rng.choice(self.processes).services)


ACTIONS: Mapping[str, int] = {
    "step": 40, "fault": 10, "advance": 8, "snapshot": 10, "rollback": 10, "cancel": 6, "retry": 6,
    "restart": 4, "s3": 5, "callback": 4, "sweep": 4,
}  # fmt: skip
"""Each action of a schedule, and how often of all."""

HAPPENINGS = ("kill", "lose", "lose", "pause", "other", "other", "rollback", "rollback", "cancel")


class Process:
    """A worker: a store, a bucket and providers of its own, each request of which is a point where things happen.

    `plan`: point -> what happens there, one after the other.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.plan: dict[str, list[str]] = {}
        self.attempt = 0  # that of the try it has recorded last
        self.answer = ""  # the request id it was told last
        scene = schedule.scene
        hooks = {when: self._hooks(when) for when in ("before", "after")}
        provider = Meddler(
            scene.services.providers[schedule.provider], before_submit=self._posts, after_submit=self._answered
        )
        self.services: Services = scene.but(
            store=played_store(scene.store, self),
            bucket=with_intents(
                scene, PlayedIntents(scene.services.bucket, hooks["before"], hooks["after"], self)
            ).bucket,
            providers={**scene.services.providers, schedule.provider: cast("Provider", provider)},
        )

    def look(self, step: Step) -> None:
        self.schedule.note(f"  {step}")
        batch_step = {Step.SUBMIT, Step.POLL}
        if step in batch_step:
            self.schedule.scene.run(step, self.schedule.job_id, self.services)
        else:
            batch.take(step, [self.schedule.job_id], self.services)

    def at(self, point: str) -> None:
        schedule = self.schedule
        if schedule.s3_is_away and point.startswith("before bucket."):
            raise BucketError("unreachable", "S3 is away")
        planned = self.plan.get(point)
        if not planned:
            return
        happening = planned.pop()
        if happening != "lose" or len(planned) in (0, 60):
            schedule.note(f"  {point}: {happening}")
        if happening != "lose":
            planned.clear()
        self._happen(happening, point)

    def _happen(self, happening: str, point: str) -> None:
        schedule = self.schedule
        other = next(process for process in schedule.processes if process is not self)
        if happening == "kill":
            killed()
        elif happening == "lose":
            self._lose(point)
        elif happening == "pause":
            schedule.scene.advance(150)
        elif happening == "rollback":
            schedule.safely(schedule._rollback)
        elif happening == "cancel":
            schedule.safely(lambda: schedule.cancel_by(other))
        else:
            schedule.take_step(other, wait=True)

    def _lose(self, point: str) -> None:
        """The request, or only its answer."""
        if "bucket." in point:
            raise BucketError("unreachable", "S3 did not answer")
        if "POST" not in point:
            raise StoreError("Redis is away")

    def _hooks(self, when: str) -> dict[str, Callable[[], object]]:
        return {name: partial(self.at, f"{when} bucket.intents.{name}") for name in REQUESTS}

    def _posts(self) -> None:
        self.at("before POST")
        self.schedule.posted_in.append(self.attempt)

    def _answered(self, submission: Submission) -> None:
        self.answer = submission.request_id
        self.at("after POST")


class PlayedScripts(Scripts):
    """Scripts of jobs, each of which is a point."""

    def __init__(self, like: Scripts, process: Process) -> None:
        self.__dict__.update(like.__dict__)
        self._process = process

    def run_on_job(self, name: str, job_id: str, given: Mapping[str, Any], *texts: str | bytes, **options: Any) -> Any:
        self._process.at(f"before {name}")
        answer = super().run_on_job(name, job_id, given, *texts, **options)
        if name == "move" and given.get("request_id") and answer[0] == "applied":
            self._process.schedule.told[given["request_id"]] = given["attempt"]
        self._process.at(f"after {name}")
        return answer


def played_store(like: Store, process: Process) -> Store:
    """A store each of whose scripts is a point."""
    return copy.deepcopy(like, {id(like.scripts): PlayedScripts(like.scripts, process), id(like.clock): like.clock})


class PlayedIntents(MeddledIntents):
    """A log each of whose requests is a point."""

    def __init__(self, like: Any, before: Any, after: Any, process: Process) -> None:
        super().__init__(like, before, after)
        self._process = process

    def begin(self, job_id: str, attempt: int, try_no: int, **options: Any) -> Any:
        self._process.attempt = attempt
        return super().begin(job_id, attempt, try_no, **options)

    def keep(self, job_id: str, attempt: int, try_no: int, begun: Any) -> None:
        super().keep(job_id, attempt, try_no, begun)
        if begun.request_id:
            self._process.schedule.told[begun.request_id] = attempt


def play(scene: Scene, seed: int) -> list[str]:
    """Play the schedule of *seed*; each violation with its story."""
    rng = random.Random(seed)
    scene.store.scripts.client.flushdb()
    scene.control.reset()
    schedule = Schedule(scene, rng, f"job-{seed}", rng.choice(PROVIDERS))
    schedule.play(rng.randint(4, 14))
    schedule.settle(with_sweeps=rng.random() < 0.5)
    return [f"seed {seed}: {violation}; {schedule.story()}" for violation in schedule.violations()]
