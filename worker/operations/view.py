"""The jobs as the verbs look at them: record, due time and what is known of its provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from worker import providers
from worker.errors import BucketError
from worker.jobs.job import Job
from worker.jobs.rate_limits import Limits, Standing
from worker.jobs.timing import ARCHIVING, Timing
from worker.operations import lost, processes
from worker.operations.explain import View
from worker.providers.base import CallbackTrust, Provider
from worker.services import Services, open_store
from worker.settings.settings import Settings
from worker.store import Store

if TYPE_CHECKING:
    from worker.bucket.bucket import Bucket

Histories = Callable[[str, str], list[tuple[float, str]]]


@dataclass(frozen=True)
class Reader:
    """Reads jobs with what it takes to explain them."""

    store: Store
    providers: Mapping[str, Provider]
    public_url: str | None
    timing: Timing
    bucket: Callable[[], Bucket]  # opened when it is asked: that takes longer than all else that only looks
    limits: Mapping[str, Limits] = field(default_factory=dict)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Reader:
        settings = Settings.from_env(env)
        limits = {name: settings.limits(name) for name in settings.providers}
        return cls(
            store=open_store(settings),
            providers=providers.build(settings),
            public_url=settings.public_url,
            timing=Timing(),
            bucket=partial(_open_bucket, settings),
            limits=limits,
        )

    @classmethod
    def of(cls, services: Services) -> Reader:
        """The reader of a process that has *services*."""
        settings = services.settings
        return cls(
            store=services.store,
            providers=services.providers,
            public_url=settings.public_url,
            timing=services.timing,
            bucket=lambda: services.bucket,
            limits={name: settings.limits(name) for name in settings.providers},
        )

    def standings(self) -> dict[str, Standing]:
        """The rate limits of each configured provider and their use."""
        return {name: self.store.limits.standing(limits) for name, limits in self.limits.items()}

    def standing(self, provider: str) -> Standing | None:
        """The rate limits of one provider and their use; None where it is not configured (any more)."""
        limits = self.limits.get(provider)
        return None if limits is None else self.store.limits.standing(limits)

    def troubles(self) -> Iterator[str]:
        """Troubles that hold up many jobs at once, a sentence each: missing processes, lost records."""
        missing = processes.troubles(
            self.store.heartbeats.all(), self.store.clock.now(), takes_callbacks=self.public_url is not None
        )
        for trouble in missing:
            yield f"{trouble.seen}; {trouble.advice}"
        try:
            found = lost.compare(self.store, self.bucket())
        except BucketError as err:
            yield f"whether Redis knows all jobs of the bucket could not be learned: {err}"
            return
        if found.lost:
            yield f"{found.words}; {lost.ADVICE}"

    def view(self, job_id: str) -> View | None:
        """The job as it stands now; None when there is no such job."""
        job = self.store.jobs.get(job_id)
        if job is None:
            return None
        candidates = len(self.store.callbacks.candidates(job_id))
        return self.viewed(job, self.store.due.at(job_id), self.store.clock.now(), candidates)

    def views(self, job_ids: Iterable[str]) -> Iterator[View]:
        """The jobs in their order as they stand now, many at a time; one without a readable record is left out."""
        now = self.store.clock.now()
        histories = cache(self.store.durations.history)
        for job, due_at, candidates in self.store.records.read_open(job_ids):
            yield self.viewed(job, due_at, now, candidates, histories)

    def viewed(
        self, job: Job, due_at: int | None, now: int, candidates: int = 0, histories: Histories | None = None
    ) -> View:
        """*job* as it is to be explained."""
        provider, limits = self.providers.get(job.provider), self.limits.get(job.provider)
        history = histories or self.store.durations.history
        return View(
            job=job,
            due_at=due_at,
            now=now,
            timing=self.timing,
            calls_back=provider is not None and provider.trust is not CallbackTrust.NONE and bool(self.public_url),
            can_list=provider is not None and (provider.can_list or provider.can_find),
            candidates=candidates,
            took=() if job.is_final else history(job.provider, job.model),
            archiving=() if job.is_final else [seconds for seconds, _ in history(job.provider, ARCHIVING)],
            at_once=limits.max_concurrent if limits else None,
            ahead=partial(self.store.limits.ahead, job),
        )


def _open_bucket(settings: Settings) -> Bucket:
    from worker.bucket.bucket import Bucket

    return Bucket.connect(settings.bucket, settings.bucket_prefix, settings.encryption)
