"""The caps on money: of a UTC day, of a month, of a tenant's day; a POST that would pass one is not begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from worker.jobs.money import day_ends_at, millionths, month_ends_at

EACH_TENANT = "*"
"""Stands for every tenant without an amount of its own."""


class CapName(StrEnum):
    """The caps, in the order in which they are told."""

    DAILY = "daily"
    MONTHLY = "monthly"
    TENANT = "tenant"

    @property
    def setting(self) -> str:
        """The setting that holds it."""
        return "CALLSHEET_TENANT_DAILY_BUDGET" if self is CapName.TENANT else f"CALLSHEET_{self.upper()}_BUDGET"

    def ends_at(self, day: int) -> int:
        """When the period of the cap that holds the UTC day *day* ends, Unix ms."""
        return month_ends_at(day) if self is CapName.MONTHLY else day_ends_at(day)


@dataclass(frozen=True)
class Cap:
    """One cap that holds for a job."""

    name: CapName
    most: Decimal  # USD

    @property
    def title(self) -> str:
        return f"{self.name.setting} of {self.most:f} USD"


@dataclass(frozen=True)
class Caps:
    """All caps of an installation, USD; None: there is none. They hold for all providers together."""

    daily: Decimal | None = None
    monthly: Decimal | None = None
    tenants: Mapping[str, Decimal] = field(default_factory=dict)  # a tenant, or EACH_TENANT -> USD a day

    def of_tenant(self, tenant: str) -> Decimal | None:
        """The most of one tenant's day; a job without a tenant has none."""
        return self.tenants.get(tenant, self.tenants.get(EACH_TENANT)) if tenant else None

    def holding(self, tenant: str) -> Iterator[Cap]:
        """The caps that hold for a job of *tenant*."""
        for name in CapName:
            most = self.most(name, tenant)
            if most is not None:
                yield Cap(name, most)

    def most(self, name: CapName, tenant: str = "") -> Decimal | None:
        """One of the caps of a job of *tenant*, USD."""
        if name is CapName.TENANT:
            return self.of_tenant(tenant)
        return self.monthly if name is CapName.MONTHLY else self.daily

    def millionths(self, tenant: str) -> dict[CapName, int]:
        """The same in millionths."""
        return {cap.name: millionths(cap.most) for cap in self.holding(tenant)}
