"""A day of jobs for people to look at: every state, real videos, failures of some kinds, a callback, notifications."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploy.sandbox import mp4
from worker.bucket.bucket import Bucket
from worker.jobs.actor import Actor
from worker.jobs.job import Difference, Job, JobError, Link, Video, rows_json, videos_json
from worker.jobs.money import Basis
from worker.jobs.states import JobState, MovePath
from worker.operations import pause
from worker.operations.activity import record
from worker.providers import event_json
from worker.providers.base import EventKind, ProviderEvent
from worker.services import open_store
from worker.settings.settings import Settings
from worker.store import Fields, Store
from worker.store.connect import connect
from worker.store.counters import Counter
from worker.store.notifications import Outcome
from worker.store.series import SLOT_MS

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LEASE_MS = 600_000
MODELS = {
    "evolink": "kling-v3-turbo-image-to-video",
    "gmicloud": "kling-3.0-turbo-t2v",
    "apimart": "kling-v3-turbo",
}
PRICED: dict[str, Any] = {"cost": Decimal("0.56"), "basis": Basis.LIST_PRICE}
PROMPTS = (
    "A corgi running on the beach, cinematic, golden-hour light",
    "A cinematic shot of a dragon taking flight from a cliffside.",
    "Macro of dew on a spider's web at sunrise, slow dolly",
    "Neon rain over a night market, handheld, shallow focus",
    "A paper boat drifting down a flooded alley, overhead",
)
SIZES = ((1280, 720), (720, 1280), (960, 960))
FAILURES = (
    JobError("generate", "moderation", "Content was flagged by the safety system", "content_policy"),
    JobError("generate", "generation_failed", "internal error, please retry"),
    JobError("submit", "no_credit", "insufficient balance", "402"),
    JobError("confirm", "outcome_unknown", "no word whether the POST was taken"),
    JobError("archive", "dead", "the link has expired (403)"),
)


@dataclass
class Clock:
    """The store's clock while the past is made. Unix ms."""

    at: int

    def __call__(self) -> int:
        return self.at

    def forward(self, ms: int) -> None:
        self.at += ms


class Scene:
    """Makes jobs that were accepted at a given time and took their way from there."""

    def __init__(self, settings: Settings, bucket: Bucket) -> None:
        self.now = open_store(settings).clock.now()
        self.clock = Clock(self.now)
        self.bucket = bucket
        client = connect(settings.redis_url, timeout_seconds=30)
        self.store = Store(client, retention_ms=30 * DAY, clock=self.clock)

    def accept(self, job_id: str, provider: str, *, ago: int, tenant: str = "", n: int = 0, **fields: Any) -> None:
        self.clock.at = self.now - ago
        spec = {
            "provider": provider,
            "model": MODELS[provider],
            "prompt": PROMPTS[n % len(PROMPTS)],
            "duration": 5,
            "resolution": "720p",
            "metadata": {"order": str(1000 + n)},
            **({"tenant": tenant} if tenant else {}),
            **fields,
        }
        facts: Fields = {
            "cost": '{"amount":"0.56","currency":"USD","basis":"list_price"}',
            "kind": "5/720p",
            "tenant": tenant,
        }
        self.store.jobs.accept(
            job_id,
            spec_json=json.dumps(spec),
            spec_sha256="0" * 64,
            provider=provider,
            model=MODELS[provider],
            request=None,
            due_in_ms=HOUR,
            facts=facts,
            notifies="notify_url" in fields,
        )

    def submit(self, job_id: str, *, progress: int = 0, due_in_ms: int = 20_000) -> None:
        self.clock.forward(900)
        claim = self.store.due.claim(job_id, states=(JobState.ACCEPTED,), lease_ms=LEASE_MS)
        assert claim is not None
        assert self.store.attempts.begin(claim, notes={"begun_at": str(claim.now)}, **PRICED).applied
        self.clock.forward(1400)
        bound = self.store.attempts.bind(
            job_id,
            attempt=1,
            provider=claim.job.provider,
            request_id=f"task-{job_id}",
            path="submit",
            due_in_ms=due_in_ms,
        )
        assert bound.applied
        if progress:
            self._rest(job_id, progress, due_in_ms)

    def _rest(self, job_id: str, progress: int, due_in_ms: int) -> None:
        claim = self.store.due.claim(job_id, states=(JobState.SUBMITTED,), lease_ms=LEASE_MS)
        assert claim is not None
        left_ms = max(0, self.now - self.clock.at) + due_in_ms
        self.store.due.rest(claim, due_in_ms=left_ms, facts={"progress": str(progress)}, notes={"polls": "4"})

    def call_back(self, job_id: str, kind: EventKind, status: str) -> None:
        event = ProviderEvent(request_id=f"task-{job_id}", kind=kind, status=status)
        self.store.callbacks.arrive(
            job_id,
            attempt=1,
            request_id=event.request_id,
            fingerprint=event_json.fingerprint("x", event),
            is_terminal=event.is_terminal,
            event_json=event_json.dump(event),
        )

    def generate(self, job_id: str, *, took_ms: int, path: MovePath = "callback", link_left_ms: int = DAY) -> None:
        self.clock.forward(took_ms)
        if path == "callback":
            self.call_back(job_id, EventKind.GENERATED, "succeed")
            self.clock.forward(300)
        links = [Link("https://media.example.com/v.mp4", self.now + link_left_ms)]
        moved = self.store.jobs.move(
            job_id,
            JobState.GENERATED,
            attempt=1,
            path=path,
            links=links,
            due_in_ms=max(0, self.now - self.clock.at) + HOUR,
            facts={"generated_by": path, "progress": "100"},
        )
        assert moved.applied, moved
        job = moved.job
        assert job is not None
        self.store.durations.learn(job.provider, job.model, took_ms / 1000, job.kind)

    def archive(self, job_id: str, n: int, *, differs: bool = False) -> Job:
        self.clock.forward(2200)
        job = self.store.jobs.get(job_id)
        assert job is not None
        video = self.film(job, n)
        facts: Fields = {"videos": videos_json((video,))}
        if differs:
            facts["differs"] = rows_json((Difference("seconds", 8, 5),))
        moved = self.store.jobs.move(job_id, JobState.ARCHIVED, attempt=1, path="poll", facts=facts).job
        assert moved is not None
        return moved

    def film(self, job: Job, n: int) -> Video:
        width, height = SIZES[n % len(SIZES)]
        content = mp4.make(width // 2, height // 2, 5, seed=1000 + n)
        return self.bucket.videos.store(
            self.bucket.videos.key(job.id, 1, 1, job.accepted_at), [content], declared_bytes=len(content)
        )

    def close(self, job: Job) -> None:
        self.clock.forward(150)
        assert self.store.jobs.delivered(job.id, ver=job.ver, outputs="result", rest_in_ms=0).applied

    def notify(self, job: Job, outcome: Outcome, status: int | None) -> None:
        self.clock.forward(400)
        tried = {"at": self.clock.at, "ver": job.ver, "path": "sweep", "status": status, "ms": 38, "words": "ok"}
        if outcome != "delivered":
            tried = {**tried, "words": "upstream is down"}
        self.store.notifications.notified(job, outcome, tried, rest_in_ms=0)
        if outcome == "dead":
            self.store.counters.add(Counter.NOTIFICATIONS_DEAD)

    def fail(self, job_id: str, error: JobError) -> Job:
        to = JobState.FAILED
        moved = self.store.jobs.move(
            job_id, to, attempt=1, path="poll", error=error, due_in_ms=self.now - self.clock.at + HOUR
        ).job
        assert moved is not None
        assert moved.state is to
        return moved


def play(settings: Settings, bucket: Bucket) -> Scene:
    """Make the whole day."""
    scene = Scene(settings, bucket)
    for make in (_finished, _failing, _open, _odd):
        make(scene)
    scene.clock.at = scene.now
    _looked_at(scene)
    show_life(scene.store)
    return scene


def _names(word: str, count: int) -> Iterator[tuple[int, str, str, str]]:
    providers, tenants = list(MODELS), ("acme", "zeta", "")
    for n in range(count):
        yield n, f"{word}-{1000 + n}", providers[n % 3], tenants[n % len(tenants)]


def _finished(scene: Scene) -> None:
    for n, job_id, provider, tenant in _names("take", 24):
        url = {"notify_url": "https://backend.example.com/hook"} if n % 4 == 0 else {}
        scene.accept(job_id, provider, ago=(24 - n) * 37 * MINUTE, tenant=tenant, n=n, **url)
        scene.submit(job_id)
        path: MovePath = "poll" if provider == "apimart" else "callback"
        scene.generate(job_id, took_ms=41_000 + 7_300 * (n % 9), path=path)
        job = scene.archive(job_id, n, differs=n == 17)
        scene.close(job)
        if url:
            scene.notify(job, "dead" if n == 8 else "delivered", 503 if n == 8 else 200)


def _failing(scene: Scene) -> None:
    for n, job_id, _, tenant in _names("spot", 14):
        error, provider = FAILURES[n % 5 if n < 8 else n % 2], ("evolink", "gmicloud")[n > 10]
        scene.accept(job_id, provider, ago=(n + 1) * 23 * MINUTE, tenant=tenant, n=n)
        if error.stage == "submit":
            scene.clock.forward(1200)
        elif error.stage == "confirm":
            _unconfirmed(scene, job_id)
            scene.clock.forward(HOUR // 6)
        else:
            scene.submit(job_id)
            scene.clock.forward(33_000)
            if error.stage == "archive":
                scene.generate(job_id, took_ms=20_000, path="poll", link_left_ms=-MINUTE)
        job = scene.fail(job_id, error)
        if error.stage in ("submit", "generate"):
            scene.close(job)


def _unconfirmed(scene: Scene, job_id: str) -> None:
    scene.clock.forward(700)
    claim = scene.store.due.claim(job_id, states=(JobState.ACCEPTED,), lease_ms=LEASE_MS)
    assert claim is not None
    assert scene.store.attempts.begin(claim, notes={"begun_at": str(claim.now)}, **PRICED).applied
    scene.clock.forward(30_000)
    left_ms = max(0, scene.now - scene.clock.at) + 4 * MINUTE
    moved = scene.store.jobs.move(job_id, JobState.UNCONFIRMED, attempt=1, path="submit", try_no=1, due_in_ms=left_ms)
    assert moved.applied


def _open(scene: Scene) -> None:
    for n, job_id, provider, tenant in _names("shot", 9):
        scene.accept(job_id, provider, ago=(n + 1) * 13_000, tenant=tenant, n=n + 2)
        scene.submit(job_id, progress=min(95, 8 + 11 * n), due_in_ms=240_000 + 1000 * n)
    for n, job_id, provider, tenant in _names("next", 4):
        scene.accept(job_id, provider, ago=(n + 1) * 4_000, tenant=tenant, n=n + 3)


def _odd(scene: Scene) -> None:
    scene.accept("hero-pickup", "evolink", ago=9 * MINUTE, tenant="acme", n=3)
    _unconfirmed(scene, "hero-pickup")
    scene.accept("rush-cut", "gmicloud", ago=19 * HOUR, tenant="zeta", n=1)
    scene.submit("rush-cut")
    scene.generate("rush-cut", took_ms=61_000, link_left_ms=4 * HOUR)
    scene.accept("slow-pan", "apimart", ago=26 * HOUR, n=2)
    scene.submit("slow-pan")
    scene.clock.at = scene.now - HOUR
    expired = scene.store.jobs.move("slow-pan", JobState.EXPIRED, attempt=1, path="sweep", due_in_ms=2 * HOUR).job
    assert expired is not None
    scene.accept("not-today", "evolink", ago=5 * HOUR, tenant="acme", n=4)
    cancelled = scene.store.jobs.move("not-today", JobState.CANCELLED, attempt=1, path="operator").job
    assert cancelled is not None
    scene.close(cancelled)
    stray = {"provider": "evolink", "job_id": "long-gone", "attempt": 1, "reason": "no record", "body": '{"id":"x"}'}
    scene.store.callbacks.keep_stray({**stray, "at": scene.now - 3 * HOUR})


def _looked_at(scene: Scene) -> None:
    """A day of figures, as the sweep would have kept them; and what operators did."""
    counted: dict[tuple[str, ...], int] = {}
    rng = random.Random(13)
    with scene.store.metrics._scripts.client.pipeline() as pipeline:
        key = scene.store.scripts.keys.series()
        first = scene.now // SLOT_MS * SLOT_MS - 49 * SLOT_MS
        for n in range(50):
            text = json.dumps({"|".join(name): count for name, count in counted.items()})
            pipeline.hset(key, str(first + n * SLOT_MS), text)
            for provider in MODELS:
                _grow(counted, provider, rng, busy=1 + 2 * (n % 17) // 3)
        for name, count in counted.items():
            pipeline.hincrby(scene.store.scripts.keys.metrics(0), "|".join(name), count)
        pipeline.execute()
    pause.pause(scene.store, "apimart", Actor("maya", "their status page says so"))
    record(scene.store, Actor("maya", "the client waits"), "retry", "spot-1002", "new_attempt")
    record(scene.store, Actor("desk"), "renotify", "take-1012", "delivered")


def _grow(counted: dict[tuple[str, ...], int], provider: str, rng: random.Random, *, busy: int) -> None:
    taken, failed = busy + rng.randrange(3), rng.randrange(2)
    grown = {
        ("submit", provider, "taken"): taken,
        ("submit", provider, "not_taken"): rng.randrange(2),
        ("submit", provider, "refused"): failed if rng.random() < 0.3 else 0,
        ("entered", provider, "archived"): max(0, taken - failed),
        ("entered", provider, "failed"): failed,
        ("callback", provider, "stored"): 0 if provider == "apimart" else taken,
        ("callback", provider, "missed"): 1 if rng.random() < 0.1 else 0,
        ("hist", "generation_duration_seconds", provider, rng.choice(["60", "90"])): taken,
        ("hist", "generation_duration_seconds", provider, "180"): 1,
    }
    for name, more in grown.items():
        counted[name] = counted.get(name, 0) + more


def show_life(store: Store) -> None:
    """A sign of each process of the Procfile, and a tick, as if all ran."""
    kinds = ("web", "worker", "archiver", "sweeper", "beat", "tick")
    store.heartbeats.beat(kinds, host="stage-1", pid=311, version="0.1.0")
    store.due.begin_sweep()
