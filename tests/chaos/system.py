"""The whole system as processes, every line between its parts in the test's hand.

sender, workers, receiver --> Wire --> state Redis (AOF always)
                          --> Wire --> broker Redis
                          --> Wire --> sandbox (one per provider)
                          --> S3Gate --> S3
            workers      --> the backend's receiver of notifications
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import redis
from celery import Celery

from callsheet_client import Callsheet, Unreachable
from deploy.local.s3 import S3Server
from deploy.local.stack import Stack
from deploy.local.valkey import Valkey
from deploy.sandbox.client import SandboxControl
from tests.chaos.copied_code import copy_of_the_code, rigged_procfile
from tests.chaos.ear import Ear
from tests.chaos.history import RECEIVER_SECONDS, Outage
from tests.chaos.promises import PROVIDERS_PATIENCE_SECONDS
from tests.chaos.rig import Rig
from tests.chaos.s3_gate import S3Gate
from tests.chaos.wire import Wire
from tests.integration.notifications.receiver import SECRET as NOTIFY_SECRET
from tests.integration.notifications.receiver import Received, receiving
from worker import providers as provider_adapters
from worker.jobs.job import Job
from worker.jobs.notification import is_pending
from worker.jobs.spec import parse_spec
from worker.jobs.timing import DAY, ms
from worker.messaging.nudges import queue_of
from worker.providers.choice import choose_provider
from worker.settings.settings import KEY_NAMES, PROVIDER_NAMES, Settings
from worker.steps import NAMELESS, Step
from worker.store import Store, connect

T = TypeVar("T")

BUCKET = "chaos"
API_KEY = "canary-api-key-9b1d5f"
SECRET = "canary-callback-secret-5c0ffee-5c0ffee"
API_TOKEN = "canary-api-token-0ff1ce-0ff1ce-0ff1ce"
PROMPT = "canary prompt: a corgi called Zwiebelchen"
FRAME = "https://cdn.example.com/frame-640x640.png?Signature=canary-signature"
CANARIES = (API_KEY, SECRET, API_TOKEN, NOTIFY_SECRET, PROMPT, "canary-signature")
GENERATION_SECONDS = 0.5
PATIENCE_SECONDS = 90.0

SPECS: dict[str, dict[str, Any]] = {
    "gmicloud": {"model": "kling-3.0-turbo-t2v", "duration": 3},
    "evolink": {"model": "kling-v3-turbo-image-to-video", "first_frame": FRAME, "duration": 3},
    "apimart": {"model": "kling-3.0-turbo", "duration": 3},
}


class System:
    """Started by `with`; `jobs` are the ids of all that were recorded.

    *broker_url* is a broker of this machine to use instead of our own, *state_server* the
    program that keeps the records instead of Valkey, *limits* how many jobs each provider
    may have at once, and how many requests a minute.
    """

    def __init__(
        self,
        directory: Path,
        *,
        broker_url: str | None = None,
        state_server: str | None = None,
        limits: tuple[int, int] = (16, 600),
    ) -> None:
        self.directory = directory
        self.jobs: list[str] = []
        self.outages: list[Outage] = []
        self.receiver_seconds = RECEIVER_SECONDS
        self._limits = limits
        self.rig = Rig(directory / "rig")
        self.redis = Valkey(directory / "state", secrets.token_urlsafe(16))
        if state_server:
            self.redis.process.command = (state_server, "-")
        self.broker = Valkey(directory / "broker", secrets.token_urlsafe(16))
        self.redis_wire = Wire(lambda: self.redis.port)
        self.broker_wire = Wire(lambda: self.broker.port)
        self.provider_wires = {name: Wire(lambda: self.stack.sandbox.port) for name in PROVIDER_NAMES}
        self.s3 = S3Server(directory / "s3")
        self.gate = S3Gate(self.s3.endpoint_url)
        self.ear = Ear(lambda: self.broker.url, CANARIES)
        self._broker_url = broker_url
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            for part in (self.redis, self.broker, self.redis_wire, self.broker_wire, self.s3, self.gate, self.ear):
                opening.enter_context(part)
            for wire in self.provider_wires.values():
                opening.enter_context(wire)
            self.notified = opening.enter_context(receiving(None))
            self.s3.create_bucket(BUCKET)
            procfile = self.directory / "Procfile"
            # not among what the tests leave behind, which is searched for secrets: sources tell of some
            code = copy_of_the_code(Path(opening.enter_context(TemporaryDirectory())))
            procfile.write_text(rigged_procfile(code, self.directory / "rig"))
            self.stack = Stack(
                self.directory / "data", env=self._env(), generation_seconds=GENERATION_SECONDS, procfile=procfile
            )
            opening.enter_context(self.stack)
            self._open = opening.pop_all()
        self.control = SandboxControl(self.stack.sandbox.url, self.stack.sandbox.ca_file)
        self.settings = Settings.from_env(self.stack.env)
        self.store = Store(connect(self.redis.url), retention_ms=ms(self.settings.retention_days * DAY))
        self.providers = provider_adapters.build(self.settings)
        self._app = Celery("sender", broker=self._broker_url or self.broker.url, set_as_current=False)
        self._app.conf.task_create_missing_queue_type = "quorum"  # as our own queues are; Redis does not ask
        if self._broker_url and self._broker_url.startswith("amqp"):
            self._app.conf.broker_transport_options = {"confirm_publish": True}
        return self

    def __exit__(self, *_: object) -> None:
        self._app.close()
        self._open.close()

    def _env(self) -> dict[str, str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            **self.s3.env,
            "AWS_ENDPOINT_URL_S3": self.gate.endpoint_url,
            "CALLSHEET_BUCKET": BUCKET,
            "CALLSHEET_REDIS_URL": _through(self.redis_wire, self.redis),
            "CALLSHEET_BROKER_URL": self._broker_url or _through(self.broker_wire, self.broker),
            "CALLSHEET_CALLBACK_SECRETS": SECRET,
            "CALLSHEET_API_TOKENS": f"backend:submit+read:{API_TOKEN}",
            "CALLSHEET_NOTIFY_SECRETS": NOTIFY_SECRET,
            "CALLSHEET_NOTIFY_HOSTS": self.notified.url(""),
        }
        for name, wire in self.provider_wires.items():
            env |= {
                KEY_NAMES[name]: API_KEY,
                f"{name.upper()}_BASE_URL": f"https://127.0.0.1:{wire.port}/{name}",
                f"{name.upper()}_MAX_CONCURRENT": str(self._limits[0]),
                f"{name.upper()}_REQUESTS_PER_MINUTE": str(self._limits[1]),
            }
        return env

    # --- jobs

    def new_id(self) -> str:
        return f"job-{secrets.token_hex(5)}"

    def spec(self, job_id: str, provider: str, **fields: Any) -> dict[str, Any]:
        """A spec whose prompt names the job, so that the sandbox's rules and history know it."""
        return {"provider": provider, **SPECS[provider], "prompt": f"{PROMPT}, take {job_id}.", **fields}

    def record(self, provider: str, *rules: Mapping[str, Any], job_id: str | None = None, **fields: Any) -> str:
        """A job that is recorded and due, and that the sandbox will treat by *rules*; nobody is nudged."""
        job_id = job_id or self.new_id()
        if rules:
            self.control.script(*({**rule, "match": {"contains": f"take {job_id}."}} for rule in rules))
        spec = parse_spec(self.spec(job_id, provider, **fields))
        _, model = choose_provider(spec, self.providers)
        self.store.jobs.accept(
            job_id,
            spec_json=spec.canonical_json(),
            spec_sha256=spec.sha256,
            provider=provider,
            model=model,
            notifies=spec.notify_url is not None,
        )
        self.jobs.append(job_id)
        return job_id

    def start_job(self, provider: str, *rules: Mapping[str, Any], **fields: Any) -> str:
        """A recorded job whose submit is nudged at once."""
        job_id = self.record(provider, *rules, **fields)
        self.nudge(Step.SUBMIT, [job_id])
        return job_id

    def send_raw(self, provider: str, *rules: Mapping[str, Any], job_id: str | None = None) -> str:
        """A job as a backend in another language sends it: a message, not recorded yet."""
        job_id = job_id or self.new_id()
        if rules:
            self.control.script(*({**rule, "match": {"contains": f"take {job_id}."}} for rule in rules))
        self.send("callsheet.generate", "callsheet", self.spec(job_id, provider), task_id=job_id)
        self.jobs.append(job_id)
        return job_id

    def order(self, provider: str, *rules: Mapping[str, Any], job_id: str | None = None, **fields: Any) -> str:
        """A job as a backend orders it over HTTP: the same order again until it is taken."""
        job_id = job_id or self.new_id()
        if rules:
            self.control.script(*({**rule, "match": {"contains": f"take {job_id}."}} for rule in rules))
        spec = self.spec(job_id, provider, **fields)
        with Callsheet(f"http://127.0.0.1:{self.stack.env['CALLSHEET_CONSOLE_PORT']}", API_TOKEN) as api:

            def is_taken() -> bool:
                try:
                    return api.order(spec, job_id).job_id == job_id
                except Unreachable:
                    return False

            self.wait(is_taken, f"the order {job_id} to be taken")
        self.jobs.append(job_id)
        return job_id

    def nudge(self, step: Step, job_ids: Sequence[str]) -> None:
        self.send(f"callsheet.{step}", queue_of(step), {} if step in NAMELESS else {"job_ids": list(job_ids)})

    def send(self, task: str, queue: str, kwargs: Mapping[str, Any], **options: Any) -> None:
        self._app.send_task(task, kwargs=dict(kwargs), queue=queue, ignore_result=True, **options)

    # --- looking

    def job(self, job_id: str) -> Job:
        job = self.store.jobs.get(job_id)
        assert job is not None, f"{job_id} has no record"
        return job

    def wait(self, condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        """The condition's first true value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"still waiting after {seconds:g} s for {what}"
            time.sleep(0.05)
        return value

    def settled(self, job_id: str, seconds: float = PATIENCE_SECONDS) -> Job:
        """The job once it is final and all that it owes is paid."""

        def is_settled() -> bool:
            job = self.store.jobs.get(job_id)
            return job is not None and job.is_final and owes_nothing(job)

        self.wait(is_settled, f"{job_id} to be settled; it is {self.tell(job_id)}", seconds)
        return self.job(job_id)

    def ended_honestly(self, job_id: str) -> bool:
        """Whether the job has its video; or, killed between intent and POST (S2), says so and nothing was paid."""
        job = self.settled(job_id, 120)
        is_unknown = job.error is not None and job.error.code == "outcome_unknown"
        return job.state == "archived" or (is_unknown and self.created(job_id) == [])

    def reaches(self, job_id: str, *states: str, seconds: float = PATIENCE_SECONDS) -> Job:
        """The job once its timeline has been in all of *states*."""
        self.wait(lambda: set(states) <= set(self.moves(job_id)), f"{job_id} to have been {states}", seconds)
        return self.job(job_id)

    def sprung(self, job_id: str, *points: str) -> None:
        """Wait until the rig has done at every one of *points* what it was told to."""
        self.wait(lambda: set(points) <= set(self.rig.sprung(job_id)), f"{job_id} to come to {points}")

    def moves(self, job_id: str) -> list[str]:
        return [entry.target for entry in self.store.history.timeline(job_id)]

    def tell(self, job_id: str) -> str:
        job = self.store.jobs.get(job_id)
        return "not recorded" if job is None else f"{job.state} after {self.moves(job_id)}: {job.waiting_for}"

    def posts(self, job_id: str) -> list[dict[str, Any]]:
        """Every POST that a provider saw for the job."""
        calls = self.control.history(kind="call")
        return [call for call in calls if call["method"] == "POST" and f"take {job_id}." in json.dumps(call["body"])]

    def created(self, job_id: str) -> list[str]:
        """The requests that were created, and would be paid, for the job."""
        return [request_id for post in self.posts(job_id) if (request_id := post.get("request_id"))]

    def callbacks(self, job_id: str) -> list[dict[str, Any]]:
        return [entry for entry in self.control.history(kind="callback") if f"/{job_id}/" in entry["url"]]

    def notifications(self, job_id: str) -> list[Received]:
        """Every POST that the backend's receiver got of the job."""
        return [one for one in self.notified.received if one.webhook_id.startswith(f"{job_id}.")]

    def told(self, job_id: str) -> dict[str, Any]:
        """The job's entry in the result backend; empty before anything is told."""
        with redis.Redis.from_url(self.redis.url, decode_responses=True) as client:
            text: Any = client.get(f"celery-task-meta-{job_id}")
        entry: dict[str, Any] = json.loads(text or "{}")
        return entry

    # --- what a callback may be excused by

    @contextmanager
    def outage(self, what: str) -> Iterator[None]:
        """The `store` or the `receiver` is away while the block lasts."""
        began = self.control.now()
        try:
            yield
        finally:
            self.outages.append(Outage(what, began, self.control.now()))

    def receiver_restarts(self) -> None:
        """The receiver has just been told to end; it is back within what a provider waits for an answer."""
        now = self.control.now()
        self.outages.append(Outage("receiver", now, now + PROVIDERS_PATIENCE_SECONDS))

    def mend(self) -> None:
        """Every line and rule as it was; servers that are down are started."""
        for server in (self.redis, self.broker):
            if not server.process.is_running:
                server.start()
            server.resume()
        for wire in (self.redis_wire, self.broker_wire, *self.provider_wires.values()):
            wire.mend()
        self.gate.clear()
        self.notified.by_path.clear()


def owes_nothing(job: Job) -> bool:
    is_written = job.told_ver == job.ver and (job.manifest_ver is None or job.manifest_ver == job.ver)
    return is_written and not is_pending(job)


def _through(wire: Wire, server: Valkey) -> str:
    return server.url.replace(f":{server.port}/", f":{wire.port}/")
