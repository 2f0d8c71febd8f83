"""Many jobs that wait for their provider, put into Redis in one go: copies of a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import redis

from tests.benchmarks.system import spec
from worker import providers
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, ms
from worker.messaging.results import GENERATE, capture
from worker.providers.choice import choose_provider, read_spec
from worker.settings.settings import Settings
from worker.store import Fields, Store, connect
from worker.store.lists import score

SECRET = "a-callback-secret-of-enough-length"
TEMPLATE = "template0123456789012345678901234567"
"""As long as the copies' ids, and as a UUID."""
REQUEST_ID = f"task-unified-{TEMPLATE}"
"""The request id of every copy: only their index entries differ."""
HOUR_MS = 60 * 60 * 1000
AT_ONCE = 5000

CELERY_REQUEST: dict[str, Any] = {
    "id": TEMPLATE,
    "task": GENERATE,
    "root_id": TEMPLATE,
    "hostname": "worker@a-machine.example.com",
    "delivery_info": {"exchange": "", "routing_key": "callsheet", "priority": 0, "redelivered": False},
    "ignore_result": False,
    "replaced_task_nesting": 0,
    "retries": 0,
}
"""The headers of a plain message of Celery's."""

COPY = """
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  local id, accepted_at = string.format("crowd%031d", n), ARGV[6] + n
  for i = 3, #KEYS do
    local key = string.gsub(KEYS[i], ARGV[1], id)
    redis.call("COPY", KEYS[i], key)
    if string.find(key, ":job:", 1, true) then
      redis.call("HSET", key, "accepted_at", string.format("%.0f", accepted_at))
    end
  end
  redis.call("ZADD", KEYS[1], tonumber(ARGV[4]) + n % 1000, id)
  redis.call("ZADD", KEYS[2], string.format("%.0f", ARGV[5] + accepted_at), id)
end
"""


def crowd_id(n: int) -> str:
    """The *n*-th copy's job id."""
    return f"crowd{n:031d}"


def environment(redis_url: str) -> dict[str, str]:
    """A configuration in which all three providers are known, and none is reached."""
    keys = {f"{name}_API_KEY": "key" for name in ("GMICLOUD", "EVOLINK", "APIMART")}
    return {
        **keys,
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": "sink",
        "CALLSHEET_PUBLIC_URL": "https://callsheet.example.com",
        "CALLSHEET_CALLBACK_SECRETS": SECRET,
    }


@contextmanager
def a_store(redis_url: str) -> Iterator[Store]:
    with connect(redis_url, timeout_seconds=60) as client:
        yield Store(client, retention_ms=ms(30 * DAY))


def gather(redis_url: str, jobs: int, *, due_in_ms: int = HOUR_MS, only_records: bool = False) -> None:
    """Fill an emptied Redis with *jobs* submitted jobs at EvoLink, due in *due_in_ms*.

    With *only_records* they are what the due index and the sweep see of them.
    """
    with redis.Redis.from_url(redis_url, socket_timeout=60) as client, a_store(redis_url) as store:
        client.flushall()
        _make_template(store, redis_url)
        due_key, listed_key = store.scripts.keys.due(0), store.scripts.keys.listed(0)
        found = sorted(key.decode() for key in client.scan_iter(match=f"*{TEMPLATE}*", count=1000))
        kept = [key for key in found if not only_records or ":job:" in key]
        copy, due_at = client.register_script(COPY), store.clock.now() + due_in_ms
        for first in range(0, jobs, AT_ONCE):
            last = min(first + AT_ONCE, jobs) - 1
            places = due_at, score(JobState.SUBMITTED, 0), store.clock.now() - jobs
            copy(keys=[due_key, listed_key, *kept], args=[TEMPLATE, first, last, *places])
        client.delete(*found)
        client.zrem(due_key, TEMPLATE)
        client.zrem(listed_key, TEMPLATE)


def _make_template(store: Store, redis_url: str) -> None:
    """One job on its real way to `submitted`."""
    adapters = providers.build(Settings.from_env(environment(redis_url)))
    asked = read_spec(spec(0, "evolink"), adapters)
    provider, model = choose_provider(asked, adapters)
    store.jobs.accept(
        TEMPLATE,
        spec_json=asked.canonical_json(),
        spec_sha256=asked.sha256,
        provider=provider,
        model=model,
        request=capture(SimpleNamespace(**CELERY_REQUEST)),
        facts={"cost": '{"amount":"0.56","currency":"USD","basis":"list_price"}', "kind": "5/720p"},
    )
    claim = store.due.claim(TEMPLATE, states=(JobState.ACCEPTED,), lease_ms=HOUR_MS)
    assert claim is not None
    store.attempts.begin(claim, notes={"begun_at": str(claim.now)})
    usage: Fields = {
        "usage": json.dumps({"billing_rule": "per_second", "credits_reserved": 0.6, "estimated_cost": 0.084})
    }
    store.attempts.bind(
        TEMPLATE,
        attempt=1,
        provider=provider,
        request_id=REQUEST_ID,
        path="submit",
        due_in_ms=HOUR_MS,
        facts=usage,
    )
    claim = store.due.claim(TEMPLATE, states=(JobState.SUBMITTED,), lease_ms=HOUR_MS)
    assert claim is not None
    notes: Fields = {"polls": "1", "failures": "0", "waiting_for": "evolink: processing"}
    store.due.rest(claim, due_in_ms=HOUR_MS, facts={"progress": "40"}, notes=notes)
