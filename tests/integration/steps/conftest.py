"""A scene for steps: the real services over real servers, and one clock that tests move.

Store, sandbox and steps all read that clock, so a deadline of hours is one line.
After every test the scene is judged: whatever happened, the invariants hold.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import redis
import requests

from deploy.local.s3 import S3Server
from deploy.local.tls import LocalTls
from deploy.sandbox.client import SandboxControl
from deploy.sandbox.clock import Clock
from deploy.sandbox.sandbox import Options
from deploy.sandbox.server import SandboxServer
from deploy.sandbox.signing import WEBHOOK_SECRET
from tests.integration.ledger_check import differences, has_all_records
from tests.integration.steps.meddling import Hook, Meddler, _nothing, meddled_store
from webhook.callbacks import Address, Receiver
from worker import providers as provider_adapters
from worker.bucket import client as s3_client
from worker.bucket.bucket import Bucket
from worker.errors import ResultError
from worker.guard.download import Downloader
from worker.jobs.job import Job
from worker.jobs.result import ToldResult
from worker.jobs.spec import parse_spec
from worker.jobs.states import JobState
from worker.jobs.timing import DAY, HOUR, MINUTE, ms
from worker.notifications.delivery import Notifications
from worker.operations.overdue import step_of
from worker.providers.base import Provider, ProviderEvent
from worker.providers.http import new_session, trust
from worker.services import Services
from worker.settings.settings import KEY_NAMES, PROVIDER_NAMES, SECRET_NAMES, ProviderSettings, Settings
from worker.steps import Step, accept, archive, batch, deliver, poll, retell, submit, sweep
from worker.store import Store, connect

__all__ = ["DAY", "HOUR", "MINUTE", "Scene", "Told"]

START = 1_795_000_000.0
SEED = 20261120
GENERATION_SECONDS = 60.0
SECRET = "a-callback-secret-of-enough-length"
API_KEY = "an-api-key-of-the-scene"
FRAME = "https://cdn.example.com/frame-1280x720.png"
JOB = "job-1"

SPECS: dict[str, dict[str, Any]] = {
    "gmicloud": {"provider": "gmicloud", "model": "kling-3.0-turbo-t2v", "duration": 3},
    "evolink": {"provider": "evolink", "model": "kling-v3-turbo-image-to-video", "first_frame": FRAME, "duration": 3},
    "apimart": {"provider": "apimart", "model": "kling-3.0-turbo", "duration": 3},
    "kling": {"provider": "kling", "model": "kling-3.0-turbo-text-to-video", "duration": 3},
    "fal": {"provider": "fal", "model": "kling-v3-standard-text-to-video", "duration": 3},
    "replicate": {"provider": "replicate", "model": "kling-v2.6", "duration": 5},
}

LEAVES_TO = {
    "": {"accepted", "archived"},  # archived: restored from its manifest
    "accepted": {"submitting", "cancelled", "failed(accept)", "failed(submit)", "unconfirmed", "submitted", "archived"},
    "submitting": {"submitted", "accepted", "unconfirmed", "failed(submit)"},
    "unconfirmed": {"submitted", "failed(confirm)", "failed(submit)", "accepted", "archived"},
    "submitted": {"generated", "failed(generate)", "expired", "archived"},  # archived: by the bucket's own manifest
    "generated": {"archived", "failed(archive)"},
    "failed(accept)": {"accepted", "archived"},
    "failed(submit)": {"accepted", "archived"},
    "failed(generate)": {"generated", "accepted", "archived"},
    "failed(confirm)": {"submitted", "accepted", "archived"},
    "failed(archive)": {"archived", "generated", "accepted"},
    "expired": {"generated", "failed(generate)", "submitted", "accepted", "archived"},
    "cancelled": {"accepted", "archived"},
}
"""The design's table of states, written down a second time: what the timelines are judged by."""


class StepClock:
    """The scene's time; `now` is Unix seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @property
    def now(self) -> float:
        return self._clock.now()

    @property
    def now_ms(self) -> int:
        return round(self._clock.now() * 1000)

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)


@dataclass
class Told:
    """Takes results down instead of writing them to Celery's backend; `is_down` refuses them."""

    started_jobs: list[Job] = field(default_factory=list)
    told_jobs: list[Job] = field(default_factory=list)
    is_down: bool = False
    before_telling: Hook = _nothing
    held: dict[str, ToldResult] = field(default_factory=dict)

    def started(self, job: Job) -> None:
        self.started_jobs.append(job)
        self._keep(job)

    def tell(self, job: Job) -> None:
        self.before_telling()
        if self.is_down:
            raise ResultError("the result backend is down")
        self.told_jobs.append(job)
        self._keep(job)

    def told(self, job_ids: Collection[str]) -> dict[str, ToldResult]:
        if self.is_down:
            raise ResultError("the result backend is down")
        return {job_id: self.held[job_id] for job_id in job_ids if job_id in self.held}

    def _keep(self, job: Job) -> None:
        """As the real ones: an older result never replaces a newer."""
        if job.id not in self.held or not self.held[job.id].is_later_than(job):
            self.held[job.id] = ToldResult(job.is_final, job.state_at, job.ver)

    @property
    def states(self) -> list[str]:
        return [str(job.state) for job in self.told_jobs]


@dataclass
class Scene:
    """Services, the sandbox's control plane and the clock, with jobs moved on in one call."""

    services: Services
    control: SandboxControl
    clock: StepClock
    told: Told
    slept: list[float] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.services.store

    def advance(self, seconds: float) -> None:
        """Let time pass, for the store and the providers alike."""
        self.clock.advance(seconds)

    def but(self, **changes: Any) -> Services:
        """The services with something changed, for one run of a step."""
        return replace(self.services, **changes)

    def with_store(self, *, before: Mapping[str, Hook] | None = None, after: Mapping[str, Hook] | None = None) -> Store:
        """The store, meddled with."""
        return meddled_store(self.store, before or {}, after or {})

    def another_store(self, client: redis.Redis | None = None, clock: Callable[[], int] | None = None) -> Store:
        """A store as that of another process of the scene, by its clock unless another is given."""
        return Store(
            client or self.store.scripts.client,
            retention_ms=self.services.retention_ms(),
            clock=clock or (lambda: self.clock.now_ms),
            monotonic=lambda: self.clock.now,
        )

    def meddled(self, provider: str, **meddling: Any) -> Services:
        """The services with a `Meddler` around one provider."""
        meddler = cast("Provider", Meddler(self.services.providers[provider], **meddling))
        return self.but(providers={**self.services.providers, provider: meddler})

    def answering(self, provider: str, event: ProviderEvent) -> Services:
        """The services with a provider whose every GET tells *event*."""
        services = self.meddled(provider)
        services.providers[provider].__dict__["fetch"] = lambda _: event
        return services

    def spec(self, provider: str, job_id: str = JOB, **fields: Any) -> dict[str, Any]:
        """A spec for *provider*; its prompt names the job, so that the history tells whose POST it was."""
        return {**SPECS[provider], "prompt": f"a corgi for {job_id}.", **fields}

    def accepted(self, provider: str = "gmicloud", job_id: str = JOB, **fields: Any) -> Job:
        accept.run(job_id, self.spec(provider, job_id, **fields), self.services)
        return self.job(job_id)

    def submitted(self, provider: str = "gmicloud", job_id: str = JOB, **fields: Any) -> Job:
        self.accepted(provider, job_id, **fields)
        submit.run(job_id, self.services)
        return self._in(JobState.SUBMITTED, job_id)

    def generated(self, provider: str = "gmicloud", job_id: str = JOB, **fields: Any) -> Job:
        self.submitted(provider, job_id, **fields)
        self.finish()
        self.look_when_due(job_id)
        return self._in(JobState.GENERATED, job_id)

    def archived(self, provider: str = "gmicloud", job_id: str = JOB, **fields: Any) -> Job:
        self.generated(provider, job_id, **fields)
        archive.run(self.services)
        return self._in(JobState.ARCHIVED, job_id)

    def unconfirmed(self, provider: str = "gmicloud", job_id: str = JOB, *, created: bool = True, **fields: Any) -> Job:
        """A job whose POST was cut off, after the provider took it or without."""
        self.rule("submit", cut=True, created=created)
        self.accepted(provider, job_id, **fields)
        submit.run(job_id, self.services)
        return self._in(JobState.UNCONFIRMED, job_id)

    def outcome_unknown(self, provider: str = "evolink", job_id: str = JOB, **fields: Any) -> Job:
        self.unconfirmed(provider, job_id, **fields)
        self.advance(2 * HOUR + 2)
        poll.run(job_id, self.services)
        deliver.run(job_id, self.services)
        return self._in(JobState.FAILED, job_id)

    def expired(self, provider: str = "gmicloud", job_id: str = JOB, *, seconds: float = 9 * HOUR) -> Job:
        """A job whose generation takes *seconds*, given up and told."""
        self.rule("generation", seconds=seconds)
        self.submitted(provider, job_id)
        self.advance(6 * HOUR + 1)
        poll.run(job_id, self.services)
        deliver.run(job_id, self.services)
        return self._in(JobState.EXPIRED, job_id)

    def archive_failed(self, provider: str = "gmicloud", job_id: str = JOB) -> Job:
        """A job whose links died before it could be archived, given up and told."""
        self.generated(provider, job_id)
        self.advance(8 * DAY)
        archive.run(self.services)
        deliver.run(job_id, self.services)
        return self._in(JobState.FAILED, job_id)

    def strangers(self, provider: str, **fields: Any) -> ProviderEvent:
        """A request at *provider* that is nobody's job: another program's, with our key."""
        spec = parse_spec(self.spec(provider, "somebody-else", **fields))
        adapter = self.services.providers[provider]
        images = {"first_frame": FRAME} if spec.first_frame else {}
        return adapter.fetch(adapter.submit(spec, images=images, callback_url=None).request_id)

    def finish(self, seconds: float = GENERATION_SECONDS) -> None:
        """Let the usual generation end."""
        self.advance(seconds + 1)

    def run(self, step: Step, job_id: str = JOB, services: Services | None = None) -> Step | None:
        """Start *step* for one job, as its task would; `ARCHIVE` and `RETELL` are for whichever it concerns."""
        if step is Step.ARCHIVE:
            turn = archive.run(services or self.services)
            return turn and turn.following
        if step is Step.RETELL:
            return retell.run(services or self.services)
        return batch.RUNS[step](job_id, services or self.services)

    def look(self, job_id: str = JOB, services: Services | None = None) -> Step | None:
        """Run the step that the job's state needs, once."""
        return self.run(step_of(self.job(job_id)), job_id, services)

    def look_when_due(self, job_id: str = JOB) -> Step | None:
        """Let time pass until the job is due, then look."""
        self.advance(max(0.0, self.due_in(job_id)) + 0.001)
        return self.look(job_id)

    def follow(self, job_id: str = JOB, step: Step | None = None, *, most: int = 40) -> Job:
        """Run *step*, or what the state needs, then whatever is worth starting at once."""
        step = step or step_of(self.job(job_id))
        for _ in range(most):
            step = self.run(step, job_id)
            if step is None:
                return self.job(job_id)
        raise AssertionError(f"{job_id} is never done: {self.moves(job_id)}")

    def sweep(self, *, waiting: Collection[Step] = ()) -> list[tuple[Step, str]]:
        """One tick of the clock, with messages for the steps *waiting* in their queues; what it nudged."""
        nudged: list[tuple[Step, str]] = []

        def publish(step: Step, job_ids: Sequence[str]) -> None:
            nudged.extend((step, job_id) for job_id in job_ids)

        sweep.run(self.services, publish, lambda step: step in waiting)
        return nudged

    def deliver(
        self,
        job_id: str = JOB,
        *,
        request_id: str | None = None,
        status: str = "completed",
        links: Sequence[str] = (),
        attempt: int = 1,
    ) -> str:
        """A callback of EvoLink for *job_id*, taken by the real receiver; the word it answered.

        It says *status* of *request_id*, the job's own unless given.
        """
        provider = self.services.providers["evolink"]
        named = request_id or self.job(job_id).request_id
        results = list(links) or [f"https://cdn.example.com/{named}.mp4"]
        body = {"id": named, "model": "kling-v3-turbo-image-to-video", "status": status, "results": results}
        receiver = Receiver(self.services.providers, (SECRET,), self.store, nudge=lambda _: None)
        return receiver.take(Address(provider, job_id, attempt), json.dumps(body).encode())

    def rule(self, on: str, **rule: Any) -> None:
        """Script the sandbox."""
        self.control.script({"on": on, **rule})

    def job(self, job_id: str = JOB) -> Job:
        job = self.store.jobs.get(job_id)
        assert job is not None
        return job

    def due_in(self, job_id: str = JOB) -> float:
        """Seconds until somebody must look at the job."""
        due_at = self.store.due.at(job_id)
        assert due_at is not None, f"{job_id} is not open"
        return (due_at - self.clock.now_ms) / 1000

    def is_due(self, job_id: str = JOB) -> bool:
        return self.due_in(job_id) <= 0

    def moves(self, job_id: str = JOB) -> list[str]:
        """Every state the job was in, in order."""
        return [entry.target for entry in self.store.history.timeline(job_id)]

    def counter(self, name: str) -> int:
        return self.store.counters.all().get(name, 0)

    def calls(self, method: str, job_id: str | None = None) -> list[dict[str, Any]]:
        """Every call at a provider, those of one job by its prompt (POST) or request id (GET)."""
        calls = [entry for entry in self.control.history(kind="call") if entry["method"] == method]
        if job_id is None:
            return calls
        if method == "POST":
            return [entry for entry in calls if f"for {job_id}." in json.dumps(entry["body"])]
        wanted = set(self.job(job_id).request_ids.values())
        return [entry for entry in calls if entry["path"].rpartition("/")[2] in wanted]

    def posts(self, job_id: str = JOB) -> int:
        """The number of POSTs of the job at all providers."""
        return len(self.calls("POST", job_id))

    def created(self, job_id: str = JOB) -> list[str]:
        """The request ids of what providers made (and billed) for the job; a replayed answer makes nothing."""
        told = [entry["request_id"] for entry in self.calls("POST", job_id) if entry["request_id"]]
        return list(dict.fromkeys(told))

    def gets(self, job_id: str = JOB) -> int:
        return len(self.calls("GET", job_id))

    def downloads(self) -> list[dict[str, Any]]:
        return self.control.history(kind="download")

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket but what S3 was asked to learn what it can do: name -> content."""
        bucket = self.services.bucket
        client = bucket.objects.client
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket.name).get("Contents", [])]
        return {
            key.removeprefix("callsheet/"): client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
            for key in keys
            if "/.callsheet/" not in key
        }

    def videos(self) -> dict[str, bytes]:
        return {name: content for name, content in self.objects().items() if name.endswith(".mp4")}

    def put_foreign(self, key: str, content: bytes = b"not a video of ours") -> None:
        """Somebody else's object."""
        bucket = self.services.bucket
        bucket.objects.client.put_object(Bucket=bucket.name, Key=key, Body=content)

    def video_key(self, job_id: str = JOB, n: int = 1) -> str:
        job = self.job(job_id)
        return self.services.bucket.videos.key(job_id, job.attempt, n, job.accepted_at)

    def _in(self, state: JobState, job_id: str) -> Job:
        job = self.job(job_id)
        assert job.state is state, f"{job_id} went {self.moves(job_id)}"
        return job

    def judge(self) -> None:
        """Check the invariants."""
        assert self.store.audit.breaches() == [], "open <=> exactly one due entry"
        for job in self.store.records.scan():
            steps = [(entry.source, entry.target) for entry in self.store.history.timeline(job.id)]
            illegal = [step for step in steps if step[1] not in LEAVES_TO.get(step[0], set())]
            assert illegal == [], f"{job.id} moved as the design does not allow"
            created = self.created(job.id)
            assert len(created) <= job.attempt, f"{job.id} was paid for more often than attempted: {created}"
            assert job.told_ver <= job.ver
            if job.state is JobState.CANCELLED:
                assert len(created) < job.attempt, f"the attempt of {job.id} that was paid for is cancelled"
            if job.state is JobState.ARCHIVED:
                _judge_videos(job, self.objects())
        owners = [request_id for job in self.store.records.scan() for request_id in job.request_ids.values()]
        assert len(owners) == len(set(owners)), "two jobs share a request"
        if has_all_records(self.store):
            assert differences(self.store) == [], "the ledger is not what the records make"


def _judge_videos(job: Job, objects: Mapping[str, bytes]) -> None:
    for video in job.videos:
        name = video.uri.partition("/callsheet/")[2]
        assert hashlib.sha256(objects[name]).hexdigest() == video.sha256
        assert len(objects[name]) == video.bytes


@pytest.fixture(scope="session")
def still_sandbox(tls: LocalTls) -> Iterator[SandboxServer]:
    """A sandbox whose clock moves only when told to."""
    options = Options(generation_seconds=GENERATION_SECONDS, allow_loopback_callbacks=True, ca_file=str(tls.ca_file))
    clock = Clock(lambda: START)
    server = SandboxServer(options, cert_file=str(tls.cert_file), key_file=str(tls.key_file), clock=clock)
    with server as running:
        yield running


@pytest.fixture(scope="session")
def provider_session(tls: LocalTls) -> Iterator[requests.Session]:
    with new_session(trust(str(tls.ca_file))) as session:
        yield session


@pytest.fixture(scope="session")
def bucket_client(s3: S3Server) -> Iterator[Any]:
    client, _ = s3_client.connect()
    yield client
    client.close()


@pytest.fixture
def settings(redis_url: str, bucket_name: str, still_sandbox: SandboxServer, tls: LocalTls) -> Settings:
    """The whole configuration; the public URL leads nowhere, callbacks are delivered by hand."""
    env = {
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": bucket_name,
        "CALLSHEET_PUBLIC_URL": "https://127.0.0.1:9",
        "CALLSHEET_CALLBACK_SECRETS": SECRET,
        "CALLSHEET_CA_FILE": str(tls.ca_file),
        "CALLSHEET_ALLOW_NETWORKS": "127.0.0.0/8",
    }
    settings = Settings.from_env({**env, **dict.fromkeys(KEY_NAMES.values(), API_KEY)})
    secrets = dict.fromkeys(SECRET_NAMES, (WEBHOOK_SECRET,))
    reached = {
        name: ProviderSettings(API_KEY, still_sandbox.base_url(name), webhook_secrets=secrets.get(name, ()))
        for name in PROVIDER_NAMES
    }
    return replace(settings, providers=reached)


@pytest.fixture
def store_client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def scene(
    settings: Settings,
    still_sandbox: SandboxServer,
    store_client: redis.Redis,
    provider_session: requests.Session,
    bucket_client: Any,
    tls: LocalTls,
) -> Iterator[Scene]:
    """The real services; what they did is judged when the test is over."""
    control = SandboxControl(still_sandbox.url, tls.ca_file)
    control.reset()
    clock = StepClock(still_sandbox.sandbox.clock)
    store = Store(
        store_client,
        retention_ms=ms(settings.retention_days * DAY),
        clock=lambda: clock.now_ms,
        monotonic=lambda: clock.now,
    )
    told = Told()
    slept: list[float] = []
    services = Services(
        settings=settings,
        store=store,
        providers=provider_adapters.build(settings, provider_session, now=lambda: clock.now),
        downloader=Downloader(ca_file=settings.ca_file, allow_networks=settings.allow_networks),
        bucket=Bucket(bucket_client, settings.bucket, settings.bucket_prefix),
        notifications=Notifications.from_settings(settings),
        results=told,
        rng=random.Random(SEED),
        monotonic=lambda: clock.now,
        sleep=slept.append,
    )
    scene = Scene(services, control, clock, told, slept)
    yield scene
    scene.judge()
    control._pool.clear()


@pytest.fixture
def services(scene: Scene) -> Services:
    return scene.services
