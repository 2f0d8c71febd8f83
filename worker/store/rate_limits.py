"""Who may ask a provider now, who waits for it, and how it answered: decided where all workers meet.

Each decision is one script. A provider's room is counted from the jobs that it may
hold, so a worker that dies leaks none of it (`README.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.jobs.rate_limits import Lane, Limits, Operation, Permit, Refusal, Standing, from_millionths
from worker.store.attempts import Operations
from worker.store.move_arguments import read_refusal, to_json


class Admission(Operations):
    """The store as the steps meet it before they ask a provider."""

    def take(self, job_id: str, limits: Limits, op: Operation, *, is_urgent: bool = False) -> Permit:
        """Whether the job's request may begin now, behind all that wait longer; *is_urgent* goes before them."""
        given = {"limits": self._given(limits), "op": op, "is_urgent": is_urgent}
        return _permit(self._run("take", job_id, given, provider=limits.provider))

    def ask(self, limits: Limits, op: Operation, *, prober: str) -> Permit:
        """Whether a request that stands in no line may begin now; *prober* names whose it is."""
        return _permit(self._run_for(limits, "ask", self._keys.shard_of(prober), op=op, prober=prober))

    def report(
        self, limits: Limits, op: Operation, *, prober: str, outcome: str, why: str = "", hold_ms: int = 0
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
                keys = [self._keys.due(shard), self._keys.of_provider(shard, limits.provider)[2], *records]
                called += int(self._scripts.run("call", keys, [self._now(), *entries]))
        return called

    def standing(self, limits: Limits) -> Standing:
        """How a provider's limits stand (of the first shard: each counts its own part)."""
        occupied, spent, *lanes = self._run_for(limits, "standing", 0)
        return Standing(limits, int(occupied), from_millionths(int(spent)), _lane(*lanes[:7]), _lane(*lanes[7:]))

    def _given(self, limits: Limits) -> dict[str, Any]:
        """*limits* as the scripts take them, with what an operator has said: POSTs that wait for him leave the rate,
        where there is one, to the polls."""
        is_paused = limits.per_minute is not None and limits.provider in self.paused()
        return {**limits.given(self._keys.shards), **({"is_paused": True} if is_paused else {})}

    def _run_for(self, limits: Limits, name: str, shard: int, **asked: Any) -> Any:
        given = {"limits": self._given(limits), **asked}
        return self._scripts.run(name, self._keys.of_provider(shard, limits.provider), [self._now(), to_json(given)])


def _permit(answer: Sequence[Any] | None) -> Permit:
    if answer is None:
        return Permit(Refusal("turn", None))
    is_granted, is_probe, *refusal = answer
    return Permit(None, is_probe == 1) if is_granted == 1 else Permit(read_refusal(*refusal))


def _lane(calls: int, failures: int, waiting: int, why: str, until: str, open_why: str, open_since: str) -> Lane:
    refusal = Refusal(why, int(until) or None) if why else None
    return Lane(int(calls), int(failures), int(waiting), refusal, open_why, int(open_since) or None)
