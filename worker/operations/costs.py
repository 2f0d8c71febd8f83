"""Costs by day, month, provider, model and tenant: money reserved, returned, spent, and of which nobody knows.

Everything is read from the ledger and the budget of the store, as plain data; nothing is estimated here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

from worker.errors import CallsheetError
from worker.jobs.caps import EACH_TENANT, CapName, Caps
from worker.jobs.durations import parse_span
from worker.jobs.job import Job
from worker.jobs.money import COUNTED, Standing, day_of, day_text, from_millionths, month_text, usd
from worker.jobs.result import error_of
from worker.store import Store
from worker.store.budget import Counted
from worker.store.ledger import KEPT_DAYS, RowKey, Sum

BY = ("day", "month", "provider", "model", "tenant")
STANDINGS = tuple(str(standing) for standing in Standing)
CURRENCY = "USD"
DEFAULT_SINCE = "30d"
THIS_MONTH = "month"
"""As *since* of a report: from the first day of this month (UTC)."""
MEASURES = ("jobs", "seconds", "usd", "unpriced")
TOTAL = "total"
SHOWN_UNKNOWN = 100
EPOCH = date(1970, 1, 1).toordinal()


class CostsError(CallsheetError):
    """A question about costs that cannot be meant. `field` is `by` or `since`."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


def report(
    store: Store, by: Sequence[str] = ("day",), since: str = DEFAULT_SINCE, until: str | None = None
) -> dict[str, Any]:
    """The sums from *since* (`30d`, `month`, or a UTC day: `2026-11-01`) to *until* (a UTC day; today), both included.

    `rows` has a row for each combination of what *by* names, the newest days first; `total` is the sum of all rows.
    A row has a sum for each standing, and in `total` what is gone or may be: all but `returned`. Raises `CostsError`.
    """
    by = _checked(by)
    today = day_of(store.clock.now())
    first, last = _first_day(since, today), today if until is None else _day(until, "until")
    groups: dict[tuple[str, ...], dict[Standing, Sum]] = {}
    for key, value in store.ledger.sums(first, last).items():
        group = groups.setdefault(tuple(_part(key, name) for name in by), {})
        group[key.standing] = group.get(key.standing, Sum()) + value
    rows = [{**dict(zip(by, names, strict=True)), **_sums(groups[names])} for names in _in_order(groups, by)]
    everything: dict[Standing, Sum] = {}
    for group in groups.values():
        for standing, value in group.items():
            everything[standing] = everything.get(standing, Sum()) + value
    return {
        "currency": CURRENCY,
        "by": list(by),
        "since": day_text(first),
        "until": day_text(last),
        "rows": rows,
        "total": _sums(everything),
    }


def csv_text(told: dict[str, Any]) -> str:
    """The return value of `report` as CSV: a line for each row, and the total as the last one."""
    sums = [*STANDINGS, TOTAL]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*told["by"], *(f"{name}_{measure}" for name in sums for measure in MEASURES)])
    names = [TOTAL, *[""] * (len(told["by"]) - 1)] if told["by"] else []
    for row in told["rows"] if told["by"] else ():
        writer.writerow([_cell(row[name]) for name in told["by"]] + _figures(row, sums))
    writer.writerow(names + _figures(told["total"], sums))
    return out.getvalue()


def caps(store: Store, caps: Caps) -> list[dict[str, Any]]:
    """Today and this month (UTC) against the caps; day and month are there also without a cap.

    Tenants are those with a cap of their own, and, where each tenant has one, those that have used something today.
    """
    today = day_of(store.clock.now())
    tenants = {name for name in caps.tenants if name != EACH_TENANT}
    if EACH_TENANT in caps.tenants:
        tenants |= {key.tenant for key in store.ledger.sums(today, today) if key.tenant}
    counted = store.budget.counted(tenants)
    return [_cap_row(name, tenant, caps, counted) for name, tenant in _cap_names(sorted(tenants))]


def exposure(store: Store, limit: int = SHOWN_UNKNOWN) -> dict[str, Any]:
    """The money of which nobody knows whether it is spent: its sum, and the attempts that it is made of, newest first.

    A record that has ended is in the sum alone.
    """
    today = day_of(store.clock.now())
    sums = store.ledger.sums(today - KEPT_DAYS, today)
    total = sum((value for key, value in sums.items() if key.standing is Standing.UNKNOWN), Sum())
    entries = store.ledger.unsettled(limit + 1)
    jobs = {job.id: job for job in store.records.read(dict.fromkeys(entry.job_id for entry in entries[:limit]))}
    rows = [_exposed(jobs[entry.job_id], entry.attempt) for entry in entries[:limit] if entry.job_id in jobs]
    return {"usd": usd(total.amount), "jobs": total.jobs, "rows": rows, "more": len(entries) > limit}


def _exposed(job: Job, attempt: int) -> dict[str, Any]:
    money, error = job.money[attempt], error_of(job)
    return {
        "job_id": job.id,
        "attempt": attempt,
        "day": day_text(money.day),
        "provider": job.provider,
        "model": job.model,
        "tenant": job.tenant,
        "state": str(job.state),
        "code": error.code if error else str(job.state),
        "message": error.message if error else job.waiting_for,
        "usd": usd(money.amount) if money.is_priced else None,
        "basis": money.basis,
    }


def _cap_names(tenants: Sequence[str]) -> list[tuple[CapName, str]]:
    return [(CapName.DAILY, ""), (CapName.MONTHLY, ""), *((CapName.TENANT, tenant) for tenant in tenants)]


def _cap_row(name: CapName, tenant: str, caps: Caps, counted: Counted) -> dict[str, Any]:
    most = caps.most(name, tenant)
    used = {CapName.DAILY: counted.daily, CapName.MONTHLY: counted.monthly}.get(name, counted.tenants.get(tenant, 0))
    return {
        "cap": str(name),
        "setting": name.setting,
        "tenant": tenant or None,
        "period": month_text(counted.day) if name is CapName.MONTHLY else day_text(counted.day),
        "limit": None if most is None else f"{most:f}",
        "used": usd(used),
        "percent": None if most is None else round(float(100 * from_millionths(used) / most), 1),
        "resets_at": name.ends_at(counted.day),
    }


def _sums(of_standings: Mapping[Standing, Sum]) -> dict[str, Any]:
    sums = {str(standing): of_standings.get(standing, Sum()) for standing in Standing}
    sums[TOTAL] = sum((of_standings.get(standing, Sum()) for standing in COUNTED), Sum())
    return {name: _told(value) for name, value in sums.items()}


def _told(value: Sum) -> dict[str, Any]:
    return {"jobs": value.jobs, "seconds": value.ms / 1000, "usd": usd(value.amount), "unpriced": value.unpriced}


def _part(key: RowKey, name: str) -> str:
    """The part of a sum's name that a report is made by."""
    if name in ("day", "month"):
        return day_text(key.day) if name == "day" else month_text(key.day)
    return str(getattr(key, name))


def _in_order(names: Iterable[tuple[str, ...]], by: Sequence[str]) -> list[tuple[str, ...]]:
    """Names of rows: by the columns in their order, days and months backwards."""
    order = sorted(names)
    for column in range(len(by) - 1, -1, -1):
        order.sort(key=itemgetter(column), reverse=by[column] in ("day", "month"))
    return order


def _checked(by: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in by if name not in BY]
    if unknown:
        raise CostsError("by", f"knows no {', '.join(unknown)[:80]}; it takes {', '.join(BY)}, comma-separated")
    if len(set(by)) < len(by):
        raise CostsError("by", "names one of them twice")
    return tuple(by)


def _first_day(since: str, today: int) -> int:
    """The first UTC day of a report: days back, today included, or a day by its name."""
    if since == THIS_MONTH:
        return _day(f"{month_text(today)}-01", "since")
    try:
        seconds = parse_span(since)
    except ValueError:
        return _day(since, "since")
    days = -(-seconds // 86_400)
    if days > KEPT_DAYS:
        raise CostsError("since", f"sums are kept {KEPT_DAYS} days")
    return today - max(0, days - 1)


def _day(text: str, field: str) -> int:
    try:
        return date.fromisoformat(text).toordinal() - EPOCH
    except ValueError:
        words = "must be a UTC day such as 2026-11-01"
        raise CostsError(field, f"{words}, or a span such as 30d" if field == "since" else words) from None


def _cell(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _figures(row: Mapping[str, Any], sums: Sequence[str]) -> list[Any]:
    return [row[name][measure] for name in sums for measure in MEASURES]
