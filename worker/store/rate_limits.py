"""Rate limiter, concurrency cap, backlog and circuit breaker of each provider, decided where all workers meet.

Each decision is one script. A provider's room is counted from the jobs that it may
hold, so a worker that dies leaks none of it (`README.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from worker.jobs.caps import CapName
from worker.jobs.job import Job
from worker.jobs.money import day_of, from_millionths
from worker.jobs.rate_limits import Lane, Limits, Operation, Permit, Refusal, Standing, Verdict
from worker.store.budget import Budget, Reservation
from worker.store.move_arguments import read_refusal
from worker.store.pauses import Pauses
from worker.store.replies import Claim
from worker.store.scripts import Scripts, store_errors, to_json


class RateLimits:
    """The limits of one store's providers."""

    def __init__(self, scripts: Scripts, pauses: Pauses, budget: Budget) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._pauses = pauses
        self._budget = budget

    def take(self, job_id: str, limits: Limits, op: Operation, *, is_urgent: bool = False) -> Permit:
        """Whether the job's request may begin now, behind all that wait longer; *is_urgent* goes before them."""
        given = {"limits": self.given(limits), "op": op, "is_urgent": is_urgent}
        return _permit(self._scripts.run_on_job("take", job_id, given, provider=limits.provider))

    def ask(self, limits: Limits, op: Operation, *, prober: str) -> Permit:
        """Whether a request that stands in no line may begin now; *prober* names whose it is."""
        return _permit(self._run_for(limits, "ask", self._keys.shard_of(prober), op=op, prober=prober))

    def report(
        self, limits: Limits, op: Operation, *, prober: str, outcome: Verdict, why: str = "", hold_ms: int = 0
    ) -> tuple[bool, bool]:
        """Hear how *prober*'s request went; whether it was an open breaker's probe, and whether it opened the breaker.

        `outcome`: `answered`, `failed` (of such the breaker opens when there are many), or `locked_out` (of these one
        opens it). *hold_ms*: so long the provider asked not to be asked.
        """
        shard = self._keys.shard_of(prober)
        asked = {"op": op, "prober": prober, "outcome": outcome, "why": why[:60], "hold_ms": hold_ms}
        was_probe, has_opened = self._run_for(limits, "report", shard, **asked)
        return was_probe == 1, has_opened == 1

    def call_next(self, limits: Limits, op: Operation, *, most: int = 500) -> int:
        """Make those due whose turn it is, as many as there is room for; how many. Everybody else sleeps on."""
        called = 0
        for shard in range(self._keys.shards):
            entries: Sequence[str] = self._run_for(limits, "next", shard, op=op, most=most)
            if entries:
                records = [self._keys.of(entry.rpartition(":")[2])[0] for entry in entries]
                keys = [
                    self._keys.due(shard),
                    self._keys.of_provider(shard, limits.provider)[2],
                    *records,
                ]
                called += int(self._scripts.run("call", keys, [self._scripts.clock.given(), *entries]))
        return called

    def standing(self, limits: Limits) -> Standing:
        """The state of a provider's limits, in all shards together."""
        given = {"limits": self.given(limits)}
        args = [self._scripts.clock.given(), to_json(given)]
        keys = [self._keys.of_provider(shard, limits.provider) for shard in range(self._keys.shards)]
        rows = [self._scripts.run("standing", of_shard, args) for of_shard in keys]
        lanes = [(_lane(*row[1:8]), _lane(*row[8:])) for row in rows]
        submit, poll = (_sum(of_op) for of_op in zip(*lanes, strict=True))
        if submit.refusal is not None and submit.refusal.why == "budget":
            submit = replace(submit, refusal=replace(submit.refusal, cap=CapName(given["limits"]["left_cap"])))
        spent = from_millionths(self._budget.counted().daily)
        return Standing(limits, sum(int(row[0]) for row in rows), spent, submit, poll)

    def ahead(self, job: Job) -> int:
        """The number of jobs before *job* in its provider's line; 0 when it stands in none."""
        if not job.place:
            return 0
        op = job.place.partition(":")[0]
        entry = f"({job.provider}:{job.place}:{job.id}"
        with store_errors():
            line = self._keys.shared(job.id)[1]
            return int(self._scripts.client.zlexcount(line, f"[{job.provider}:{op}:", entry))

    def given(self, limits: Limits) -> dict[str, Any]:
        """*limits* as the scripts take them, with what stands in one shard for all: POSTs that wait for an operator, or
        for money, leave the rate to the polls."""
        given = limits.given(self._keys.shards)
        if limits.per_minute is not None and limits.provider in self._pauses.paused():
            given["is_paused"] = True
        return given | self._left(limits)

    def given_for_post(self, limits: Limits, reserved: Reservation, claim: Claim, amount: int) -> dict[str, Any]:
        """The same for the POST under *claim*, for which *amount* millionths are *reserved*, or would pass a cap."""
        given = self.given(limits)
        if reserved.passed is None:
            # its own is no reason to wait for
            return {**given, **({"left": given["left"] + amount} if "left" in given else {})}
        is_dear = amount > limits.caps.millionths(claim.job.tenant)[reserved.passed]
        return {
            **given,
            "over": "price" if is_dear else "budget",
            "over_until": reserved.passed.ends_at(day_of(claim.now)),
            "is_shared": reserved.passed is not CapName.TENANT,
        }

    def _left(self, limits: Limits) -> dict[str, Any]:
        """The rest under the caps that all jobs share, under which and until when; nothing where there is none."""
        shared = limits.caps.millionths("")
        if not shared:
            return {}
        counted = self._budget.counted()
        used = {CapName.DAILY: counted.daily, CapName.MONTHLY: counted.monthly}
        cap = min(shared, key=lambda name: shared[name] - used[name])
        return {"left": shared[cap] - used[cap], "left_until": cap.ends_at(counted.day), "left_cap": str(cap)}

    def _run_for(self, limits: Limits, name: str, shard: int, **asked: Any) -> Any:
        given = {"limits": self.given(limits), **asked}
        return self._scripts.run(
            name, self._keys.of_provider(shard, limits.provider), [self._scripts.clock.given(), to_json(given)]
        )


def _sum(lanes: Sequence[Lane]) -> Lane:
    """One operation in all shards; what holds it back is that of the first that is held back."""
    held = next((lane for lane in lanes if lane.refusal), lanes[0])
    opened = next((lane for lane in lanes if lane.open_why), held)
    return Lane(
        calls=sum(lane.calls for lane in lanes),
        failures=sum(lane.failures for lane in lanes),
        waiting=sum(lane.waiting for lane in lanes),
        refusal=held.refusal,
        open_why=opened.open_why,
        open_since=opened.open_since,
    )


def _permit(answer: Sequence[Any] | None) -> Permit:
    if answer is None:
        return Permit(Refusal("turn", None))
    is_granted, is_probe, *refusal = answer
    return Permit(None, is_probe == 1) if is_granted == 1 else Permit(read_refusal(*refusal))


def _lane(calls: int, failures: int, waiting: int, why: str, until: str, open_why: str, open_since: str) -> Lane:
    refusal = Refusal(why, int(until) or None) if why else None
    return Lane(int(calls), int(failures), int(waiting), refusal, open_why, int(open_since) or None)
