"""Lists among 100,000 jobs: the first page by state, by each filter, and counts; by one caller, over the socket."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import redis

from deploy.local.valkey import Valkey
from tests.benchmarks import crowd
from tests.benchmarks.figures import Section, main, percentile
from tests.benchmarks.system import tell
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.search import MOST_RECORDS, Filter, Page, page
from worker.operations.view import Reader
from worker.store.lists import RANKS

T = TypeVar("T")

JOBS = 100_000
ROUNDS = 20
LIMIT = 50
MOST_BY_STATE_MS, MOST_FILTERED_MS = 100, 300
SHARES = {
    JobState.SUBMITTED: 20,
    JobState.GENERATED: 1,
    JobState.ACCEPTED: 15,
    JobState.UNCONFIRMED: 1,
    JobState.FAILED: 8,
    JobState.ARCHIVED: 55,
}
"""Of a hundred jobs, so many in each state, one after the other in time."""
RARE = 1000
"""One job of so many failed with the code that is looked for."""

SPREAD = """
local states = cjson.decode(ARGV[4])
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = string.format("crowd%031d", n)
  local key, state = ARGV[3] .. id, states[n % #states + 1]
  redis.call("HSET", key, "state", state.name, "tenant", "tenant-" .. n % 100)
  if state.closed then
    redis.call("HSET", key, "closed_at", "1")
    redis.call("ZREM", KEYS[1], id)
  end
  if state.name == "failed" then
    local code = n % ARGV[5] == 44 and "moderation" or "timed_out"
    redis.call("HSET", key, "error_stage", "generate", "error_message", "no", "error_code", code)
  end
  redis.call("ZADD", KEYS[2], string.format("%.0f", state.rank * 1e13 + redis.call("HGET", key, "accepted_at")), id)
end
"""


def run() -> Section:
    """The first page of each kind of list among 100,000 jobs, and the counts per state."""
    section = Section(
        f"Lists among {JOBS:,} jobs",
        f"The first page of {LIMIT}, {ROUNDS} times each, with all that a row shows (why stuck, waits for). Of a "
        f"hundred jobs {', '.join(f'{count} {state}' for state, count in SHARES.items())}; a hundred tenants.",
        ("list", "jobs found", "p50 ms", "p95 ms", "slowest ms"),
    )
    worst = {"by state": 0.0, "with a filter": 0.0}
    with (
        tempfile.TemporaryDirectory(prefix="callsheet-bench-") as home,
        Valkey(Path(home, "valkey"), "benchmark") as valkey,
    ):
        crowd.gather(valkey.url, JOBS)
        spread(valkey.url)
        reader = Reader.from_env(crowd.environment(valkey.url))
        for kind, name, wanted in lists():
            found, p95 = measure(section, name, partial(page, reader, wanted, limit=LIMIT))
            worst[kind] = max(worst[kind], p95)
            tell(f"lists: {name}: {len(found.jobs)} jobs, p95 {p95:.1f} ms")
        counts, p95 = measure(section, "counts per state", reader.store.lists.counts)
        assert sum(counts.values()) == JOBS
    goal = f"< {MOST_BY_STATE_MS} ms; < {MOST_FILTERED_MS} ms"
    now = f"{worst['by state']:.0f} ms; {worst['with a filter']:.0f} ms"
    is_met = worst["by state"] < MOST_BY_STATE_MS and worst["with a filter"] < MOST_FILTERED_MS
    section.judge("lists", f"first page among {JOBS:,} jobs, worst p95: by state; with a filter", goal, now, is_met)
    section.notes.append(f"A page of what no job has looks at {MOST_RECORDS:,} records and says so.")
    return section


def lists() -> list[tuple[str, str, Filter]]:
    """Every kind of list: what its goal is, its name, its filter."""
    filters = {
        "provider (every job)": Filter(provider="evolink"),
        "tenant (1 %)": Filter(tenant="tenant-7"),
        f"error code (1 of {RARE:,})": Filter(error_code="moderation"),
        "a tenant that no job has": Filter(tenant="nobody"),
        "state and a tenant that no job has": Filter(states=frozenset({JobState.ARCHIVED}), tenant="nobody"),
        "differs (no job)": Filter(differs=True),
        "open": Filter(is_open=True),
        "closed": Filter(is_open=False),
        "stuck": Filter(stuck=True),
        "waits for archive (1 %)": Filter(waits_for=WaitCode.ARCHIVE),
        "waits for a resumed provider (no job)": Filter(waits_for=WaitCode.PAUSED),
        "waits for its time (no job)": Filter(waits_for=WaitCode.SCHEDULED),
        "metadata that no job has": Filter(metadata=(("order", "1007"),)),
    }
    by_state = [("by state", str(state), Filter(states=frozenset({state}))) for state in SHARES]
    return [
        ("by state", "all", Filter()),
        *by_state,
        *(("with a filter", name, wanted) for name, wanted in filters.items()),
    ]


def measure(section: Section, name: str, call: Callable[[], T]) -> tuple[T, float]:
    """The answer of *call*, and the 95th percentile of its milliseconds."""
    answer, taken = call(), []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    p95 = percentile(taken, 95)
    found = len(answer.jobs) if isinstance(answer, Page) else ""
    section.add(name, found, percentile(taken, 50), p95, max(taken))
    return answer, p95


def spread(redis_url: str) -> None:
    """Put the waiting jobs into the states of SHARES, as lists meet them."""
    states = [
        {"name": str(state), "rank": RANKS[state], "closed": state in (JobState.ARCHIVED, JobState.FAILED)}
        for state, count in SHARES.items()
        for _ in range(count)
    ]
    with redis.Redis.from_url(redis_url, socket_timeout=60) as client, crowd.a_store(redis_url) as store:
        script, keys = client.register_script(SPREAD), store.scripts.keys
        prefix = keys.record(crowd.crowd_id(0)).removesuffix(crowd.crowd_id(0))
        for first in range(0, JOBS, crowd.AT_ONCE):
            last = min(first + crowd.AT_ONCE, JOBS) - 1
            script(keys=[keys.due(0), keys.listed(0)], args=[first, last, prefix, json.dumps(states), RARE])


if __name__ == "__main__":
    main(run)
