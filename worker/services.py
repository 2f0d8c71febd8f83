"""Everything a step may touch, and its composition from the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from worker import providers as provider_adapters
from worker.guard.download import Downloader
from worker.jobs.job import Job
from worker.jobs.rate_limits import Limits
from worker.jobs.result import ToldResult
from worker.jobs.timing import DAY, Timing, ms
from worker.notifications.delivery import Notifications
from worker.providers.base import CallbackTrust, Provider
from worker.settings.settings import Settings
from worker.store import Store, connect
from worker.store.connect import NAME

if TYPE_CHECKING:
    from worker.bucket.bucket import Bucket


class Results(Protocol):
    """The channel that tells the caller of a job's state (Celery's result backend, in the real system)."""

    def started(self, job: Job) -> None:
        """Show an open job as started, with its progress; best effort."""

    def tell(self, job: Job) -> None:
        """Write a final job's result, from its record; raises when it could not be written."""

    def told(self, job_ids: Sequence[str]) -> Mapping[str, ToldResult]:
        """The result of each job whose caller was told one; raises `ResultError` when that cannot be read now."""


class NoResults:
    """For processes that never tell: the client, the CLI, the receiver."""

    def started(self, job: Job) -> None: ...

    def tell(self, job: Job) -> None: ...

    def told(self, job_ids: Sequence[str]) -> Mapping[str, ToldResult]:  # noqa: ARG002
        return {}


@dataclass(frozen=True)
class Services:
    """Everything a step may touch. Frozen: a step changes the world only through it."""

    settings: Settings
    store: Store
    providers: Mapping[str, Provider]
    downloader: Downloader
    bucket: Bucket
    notifications: Notifications
    results: Results = field(default_factory=NoResults)
    timing: Timing = field(default_factory=Timing)
    rng: random.Random = field(default_factory=random.Random)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def from_settings(
        cls, settings: Settings, results: Callable[[Store], Results] | None = None, *, name: str = NAME
    ) -> Services:
        """Put the real services together; nothing connects before it is used, then to Redis under *name*."""
        from worker.bucket.bucket import Bucket  # brings boto3, which whoever only looks at records does without

        store = open_store(settings, name=name)
        return cls(
            settings=settings,
            store=store,
            providers=provider_adapters.build(settings),
            downloader=Downloader(
                ca_file=settings.ca_file,
                allow_networks=settings.allow_networks,
                media_hosts=settings.media_hosts,
            ),
            bucket=Bucket.connect(settings.bucket, settings.bucket_prefix, settings.encryption),
            notifications=Notifications.from_settings(settings),
            results=results(store) if results else NoResults(),
        )

    def gets_callbacks(self, provider: Provider) -> bool:
        """Whether *provider* is told where to call us back."""
        return provider.trust is not CallbackTrust.NONE and self.settings.public_url is not None

    def limits(self, provider: str) -> Limits:
        """The limits of *provider*; without limit when it is not configured (any more)."""
        return self.settings.limits(provider)

    def charges_failures(self, provider: str) -> bool | None:
        """Whether a generation that fails at *provider* is paid for; None: nobody says."""
        options, adapter = self.settings.providers.get(provider), self.providers.get(provider)
        if options is not None and options.charges_failures is not None:
            return options.charges_failures
        return False if adapter is not None and adapter.refunds_failures else None

    def retention_ms(self) -> int:
        return ms(self.settings.retention_days * DAY)


def open_store(settings: Settings, *, timeout_seconds: float = 5.0, name: str = NAME) -> Store:
    """The store that *settings* name, its connections under *name*; the receiver passes a shorter time-out."""
    client = connect(
        settings.redis_url,
        timeout_seconds=timeout_seconds,
        most_connections=settings.redis_connections,
        name=name,
    )
    return Store(client, retention_ms=ms(settings.retention_days * DAY), shards=settings.shards)
