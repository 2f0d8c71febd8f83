"""The store of job records, put together from its parts."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from worker.store.activity import Activities
from worker.store.attempts import Attempts
from worker.store.audit import Audit
from worker.store.batches import Batches
from worker.store.budget import Budget
from worker.store.bulks import Bulks
from worker.store.callbacks import Callbacks
from worker.store.counters import Counters
from worker.store.due_index import DueIndex
from worker.store.durations import Durations
from worker.store.heartbeats import Heartbeats
from worker.store.history import History
from worker.store.jobs import Jobs
from worker.store.keys import Keys
from worker.store.ledger import Ledger
from worker.store.lifetimes import Lifetimes
from worker.store.lists import Lists
from worker.store.manifests import Manifests
from worker.store.metrics import Metrics
from worker.store.notifications import Notifications
from worker.store.pauses import Pauses
from worker.store.perishing import Perishing
from worker.store.rate_limits import RateLimits
from worker.store.records import Records
from worker.store.request_ids import RequestIds
from worker.store.rollbacks import Rollbacks
from worker.store.scripts import Scripts
from worker.store.seen import Seen
from worker.store.series import Series
from worker.store.server import Server


class Store:
    """The job records of one Redis: parts that share `scripts`, each with the reads and writes of one subject.

    *clock* (Unix ms) replaces the server's time in tests; *monotonic* (seconds)
    is the local clock that a claim's end is told by.
    Instants and durations are milliseconds by the Redis server's clock.
    Every method of a part raises `StoreError` when Redis does not answer: the same call
    again is then safe. `jobs.accept`, `jobs.move`, `jobs.delivered`, `attempts.bind` and `callbacks.arrive` return
    when the write is as durable as `server.durability` says.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        retention_ms: int,
        clock: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        shards: int = 1,
    ) -> None:
        scripts = Scripts(client, Keys(shards), clock)
        lifetimes = Lifetimes(retention_ms)
        self.scripts = scripts
        self.clock = scripts.clock
        self.server = Server(scripts)
        self.counters = Counters(scripts)
        self.durations = Durations(scripts)
        self.batches = Batches(scripts, lifetimes)
        self.bulks = Bulks(scripts)
        self.heartbeats = Heartbeats(scripts)
        self.lists = Lists(scripts)
        self.metrics = Metrics(scripts)
        self.series = Series(scripts, self.metrics)
        self.seen = Seen(scripts)
        self.activity = Activities(scripts)
        self.rollbacks = Rollbacks(scripts, self.lists)
        self.pauses = Pauses(scripts)
        self.callbacks = Callbacks(scripts)
        self.history = History(scripts)
        self.records = Records(scripts)
        self.perishing = Perishing(scripts)
        self.due = DueIndex(scripts, monotonic)
        self.audit = Audit(scripts, self.records, self.due)
        self.ledger = Ledger(scripts)
        self.budget = Budget(scripts)
        self.limits = RateLimits(scripts, self.pauses, self.budget)
        self.notifications = Notifications(scripts, lifetimes)
        self.jobs = Jobs(scripts, lifetimes, self.budget)
        self.request_ids = RequestIds(scripts, lifetimes, self.jobs)
        self.attempts = Attempts(scripts, self.jobs, self.request_ids, self.limits, self.budget)
        self.manifests = Manifests(scripts, lifetimes, self.jobs, self.request_ids, self.budget)
