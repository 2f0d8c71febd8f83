"""Copy: the videos of one job, from the provider's links into the bucket, under a lease.

What `archive` and the slow look at `failed(archive)` share.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from worker.errors import (
    DownloadError,
    LinkDeadError,
    NotAVideoError,
    ObjectConflict,
    ProviderError,
    SlowDownloadError,
)
from worker.guard.download import Download
from worker.guard.response import BodyEnd
from worker.jobs.differences import differences
from worker.jobs.job import IgnoredLink, Job, Link, Video, rows_json, videos_json
from worker.jobs.spec import parse_spec
from worker.jobs.states import JobState
from worker.providers.base import EventKind
from worker.services import Services
from worker.steps import provider_turns
from worker.steps.lease import Lease
from worker.store import Fields
from worker.store.counters import Counter

log = logging.getLogger(__name__)

UNCHECKED = "unchecked"
CERTAINLY_NO_FILM = frozenset({"picture", "no_video"})
"""Reasons of a `DownloadError` after which nothing that the link may lead to later can be the film."""


@dataclass(frozen=True)
class Copied:
    """The films of one attempt that are in the bucket, and the links beside them that led to none."""

    videos: tuple[Video, ...]
    ignored: tuple[IgnoredLink, ...] = ()

    def facts(self, job: Job, services: Services) -> Fields:
        """The facts for the record, with the films' differences from *job*'s order; those are counted, too."""
        spec = parse_spec(json.loads(services.store.history.spec_json(job.id) or "{}"))
        facts: Fields = {"videos": videos_json(self.videos)}
        if self.ignored or job.ignored:
            facts["ignored"] = rows_json(self.ignored)
        if differs := differences(spec, self.videos):
            facts["differs"] = rows_json(differs)
            services.store.counters.add(Counter.VIDEOS_DIFFER)
            log.warning("video.differs", extra={"job_id": job.id, "fields": [found.field for found in differs]})
        return facts


def copy_generated(job: Job, lease: Lease, services: Services) -> Copied:
    """Every film of a `generated` job in the bucket, by the links on record or by those that the provider signs now.

    Raises as `copy_all`.
    """
    known = services.store.jobs.links(job.id)
    try:
        return copy_all(job, known, lease, services)
    except SlowDownloadError:
        raise
    except DownloadError as err:
        # a bad link is not a bad video: there may be a new one, and an ended one need not say so
        links = _other_links(job, known, services)
        if not links:
            raise
        log.info("links.renewed", extra={"job_id": job.id, "reason": err.reason})
    services.store.jobs.move(job.id, JobState.GENERATED, attempt=job.attempt, path=job.path, links=links)
    return copy_all(job, links, lease, services)


def _other_links(job: Job, known: Sequence[Link], services: Services) -> tuple[Link, ...]:
    """The links that the provider signs now, unless they are those on record or cannot be learned."""
    try:
        fresh = fresh_links(job, services)
    except ProviderError as err:
        log.info("links.unread", extra={"job_id": job.id, "reason": err.code})
        return ()
    return () if [link.url for link in fresh] == [link.url for link in known] else fresh


def copy_all(job: Job, links: Sequence[Link], lease: Lease, services: Services) -> Copied:
    """Every film that *links* lead to in the bucket; one that is already there is not fetched again.

    Each link is judged by itself. One that is certainly no film is ignored beside a film; bytes that cannot be checked
    are kept and named, and then there may be no film at all. Raises `LinkDeadError`
    (also when there is no link), `DownloadError` or `ObjectConflict` when a link could still be a film, once all
    others are copied; `NotAVideoError` when none can be; `BucketError` or `LeaseLostError` at once.
    """
    if not links:
        raise LinkDeadError("no_link", "no link is known")
    videos: list[Video] = []
    ignored: list[IgnoredLink] = []
    failures: list[DownloadError | ObjectConflict] = []
    for n, link in enumerate(links, 1):
        try:
            videos.append(_copy(job, n, link, lease, services))
        except (DownloadError, ObjectConflict) as err:
            if err.reason in CERTAINLY_NO_FILM:
                ignored.append(IgnoredLink(n, err.reason, str(err)))
            elif err.reason == UNCHECKED:
                try:
                    ignored.append(IgnoredLink(n, err.reason, str(err), _keep(job, n, link, lease, services)))
                except DownloadError as unkept:
                    failures.append(unkept)
            else:
                failures.append(err)
    if failures:
        raise failures[0]
    if not videos and not any(link.uri for link in ignored):
        raise NotAVideoError("not_video", f"no link leads to a film: {ignored[0].message}")
    return Copied(tuple(videos), tuple(ignored))


def _copy(job: Job, n: int, link: Link, lease: Lease, services: Services) -> Video:
    key = services.bucket.videos.key(job.id, job.attempt, n, job.accepted_at)
    found = services.bucket.videos.find(key, progress=lease.progress)
    if found is not None:
        return found
    with _download(link, lease, services) as download:
        return services.bucket.videos.store(
            key,
            lease.keeping(download.chunks()),
            declared_bytes=download.declared_bytes,
            is_end_certain=partial(_is_end_certain, download),
            before_complete=lease.renew,
            progress=lease.progress,
        )


def _keep(job: Job, n: int, link: Link, lease: Lease, services: Services) -> str:
    """Keep what *link* leads to though it cannot be checked: it was paid for. Returns its URI."""
    bucket = services.bucket
    key = bucket.videos.unverified_key(bucket.videos.key(job.id, job.attempt, n, job.accepted_at))
    found = bucket.videos.find_unverified(key)
    if found is not None:
        return found
    with _download(link, lease, services) as download:
        return bucket.videos.store_unverified(
            key,
            lease.keeping(download.chunks()),
            declared_bytes=download.declared_bytes,
            is_end_certain=partial(_is_end_certain, download),
            progress=lease.progress,
        )


def _download(link: Link, lease: Lease, services: Services) -> AbstractContextManager[Download]:
    most_seconds = services.timing.download_seconds(link, lease.claim.now)
    return services.downloader.open(link.url, most_seconds=most_seconds)


def _is_end_certain(download: Download) -> bool:
    return download.end is not BodyEnd.UNKNOWN


def find_copied(job: Job, services: Services, why: str = "") -> Copied:
    """The films of *job* that are in the bucket; those of its links that are not there are ignored, for the reason
    *why*.

    Raises `BucketError` when the bucket does not tell: then nothing may be decided.
    """
    videos: list[Video] = []
    ignored: list[IgnoredLink] = []
    for n in range(1, max(1, len(services.store.jobs.links(job.id))) + 1):
        key = services.bucket.videos.key(job.id, job.attempt, n, job.accepted_at)
        try:
            found = services.bucket.videos.find_of_any_type(key)
        except ObjectConflict as err:  # the bucket did tell: what is there is not ours
            ignored.append(IgnoredLink(n, err.reason, str(err)))
            continue
        if found is None:
            kept = services.bucket.videos.find_unverified(services.bucket.videos.unverified_key(key))
            ignored.append(IgnoredLink(n, "not_copied", why, kept))
        else:
            videos.append(found)
    return Copied(tuple(videos), tuple(ignored))


def fresh_links(job: Job, services: Services) -> tuple[Link, ...]:
    """The links that the provider signs now; none when it has no video (any more).

    Raises `ProviderError` when it could not be learned.
    """
    provider = services.providers.get(job.provider)
    if provider is None or job.request_id is None:
        return ()
    event = provider_turns.at_once(job.id, provider.name, services, partial(provider.fetch, job.request_id))
    return event.links if event.kind is EventKind.GENERATED else ()
