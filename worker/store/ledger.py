"""The ledger: sums of money by UTC day, provider, model, tenant and standing, kept 400 days.

The scripts that move a job's money move the sums in the same step (`lua/_money.lua`), so they are at any time what the
records say, those included that have ended since. Each shard has its own; they are added when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

from worker.jobs.money import Standing
from worker.store.scripts import Scripts, store_errors

KEPT_DAYS = 400
ROWS_AT_ONCE = 2000
FIRST_DAY, LAST_DAY = 10_000, 99_998
"""Days of five digits: from 1997 to 2243."""
UNKNOWN = "unknown:"
"""In front of the index's entries of attempts of which nobody knows whether they are paid."""


@dataclass(frozen=True, order=True)
class RowKey:
    """The name of one sum. `day` counts from 1970."""

    day: int
    provider: str
    model: str
    tenant: str
    standing: Standing

    @property
    def text(self) -> str:
        return f"{self.day}|{self.provider}|{self.model}|{self.tenant}|{self.standing}"

    @classmethod
    def parse(cls, text: str) -> RowKey:
        day, provider, model, tenant, standing = text.split("|")
        return cls(int(day), provider, model, tenant, Standing(standing))


@dataclass(frozen=True)
class Sum:
    """One sum: attempts, milliseconds of video, millionths of USD, and attempts without a known price."""

    jobs: int = 0
    ms: int = 0
    amount: int = 0
    unpriced: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.jobs + other.jobs, self.ms + other.ms, self.amount + other.amount, self.unpriced + other.unpriced
        )


@dataclass(frozen=True)
class Unsettled:
    """An attempt of which nobody knows whether it is paid. `day` is that of its POST."""

    day: int
    job_id: str
    attempt: int


class Ledger:
    """The ledgers of all shards of one store."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def sums(self, since: int, until: int) -> dict[RowKey, Sum]:
        """Every sum of the UTC days from *since* to *until*, both included."""
        found: dict[RowKey, Sum] = {}
        for shard in range(self._scripts.keys.shards):
            for key, value in self._rows(shard, since, until):
                found[key] = found.get(key, Sum()) + value
        return found

    def unsettled(self, most: int) -> list[Unsettled]:
        """The attempts of which nobody knows whether they are paid, the latest days first, *most* at most."""
        found: list[Unsettled] = []
        for shard in range(self._scripts.keys.shards):
            with store_errors():
                entries = cast(
                    "list[str]",
                    self._scripts.client.zrevrangebylex(
                        self._scripts.keys.ledger(shard)[1], f"({UNKNOWN[:-1]};", f"[{UNKNOWN}", start=0, num=most
                    ),
                )
            for entry in entries:
                day, job_id, attempt = entry.removeprefix(UNKNOWN).split("|")
                found.append(Unsettled(int(day), job_id, int(attempt)))
        return sorted(found, key=lambda one: (-one.day, one.job_id, one.attempt))[:most]

    def _rows(self, shard: int, since: int, until: int) -> Iterator[tuple[RowKey, Sum]]:
        ledger, index = self._scripts.keys.ledger(shard)
        # the index is sorted as text
        since, until = max(FIRST_DAY, since), min(LAST_DAY, until)
        with store_errors():
            client = self._scripts.client
            names = iter(cast("list[str]", client.zrangebylex(index, f"[{since}", f"({until + 1}")))
            while batch := list(islice(names, ROWS_AT_ONCE)):
                for name, value in zip(batch, cast("Sequence[str | None]", client.hmget(ledger, batch)), strict=True):
                    if value is not None:
                        yield RowKey.parse(name), Sum(*map(int, value.split()))
