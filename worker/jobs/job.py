"""A job: its record at one moment, as one frozen value (`record.py` reads it).

Instants (`..._at`, `..._until`) are Unix milliseconds by the Redis server's
clock. The record holds no prompt, no link and no secret; the spec and the
provider's links have keys of their own (`worker/store/keys.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from worker.jobs.money import Money
from worker.jobs.states import FINAL, JobState, MovePath

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SCHEMA_VERSION = 1
"""Number of the layout of all of a job's keys (`worker/store/layout.py`); 1 is that of the first release."""


def is_job_id(text: object) -> bool:
    """Whether *text* can name a job: it becomes part of Redis and S3 keys."""
    return isinstance(text, str) and JOB_ID.fullmatch(text) is not None


@dataclass(frozen=True)
class Video:
    """One archived video, as verified in the bucket."""

    uri: str
    bytes: int
    sha256: str
    seconds: float
    width: int
    height: int
    content_type: str = "video/mp4"


@dataclass(frozen=True)
class Link:
    """A provider's link to a video, and the instant at which it ends (None: not stated)."""

    url: str = field(repr=False)
    expires_at: int | None = None


@dataclass(frozen=True)
class IgnoredLink:
    """The *n*-th link of a result that led to no film. `code` is the reason of a `DownloadError`; `uri` names the copy
    in the bucket where the bytes were kept though they cannot be checked."""

    n: int
    code: str
    message: str
    uri: str | None = None


@dataclass(frozen=True)
class Difference:
    """A field of the spec that an archived video does not have as it was asked for."""

    field: str
    asked: str | float
    made: str | float


@dataclass(frozen=True)
class JobError:
    """Why a job has no video. `stage` is one of `states.STAGES`, `code` one of `ErrorCode` (a record may hold a later
    version's), `provider_code` the provider's own short word, if it gave one."""

    stage: str
    code: str
    message: str
    provider_code: str = ""


@dataclass(frozen=True)
class Job:
    """One job's record at one moment."""

    id: str
    state: JobState
    ver: int
    attempt: int = 1
    try_no: int = 0  # POSTs begun in this attempt
    provider: str = ""
    model: str = ""
    spec_sha256: str = ""
    accepted_at: int = 0
    tenant: str = ""
    batch: str = ""  # the batch that it was ordered in
    kind: str = ""  # seconds and resolution that are made and billed: 5/720p
    not_before: int | None = None  # nothing is submitted before that instant
    give_up_after: int | None = None  # seconds from acceptance; nothing is submitted any more after that
    state_at: int = 0  # when it entered its state
    begun_at: int | None = None  # when the last POST of this attempt was begun
    kept_in: str = ""  # which bucket is told of its POSTs, as `Bucket.place` says it
    unsent_by: str = ""  # by which name the bucket may have been told of a POST that was not sent
    submitted_at: int | None = None
    link_expires_at: int | None = None
    closed_at: int | None = None
    look_until: int | None = None  # a final job is looked at again, slowly, until then
    progress: int = 0
    polls: int = 0  # GETs since the attempt was submitted
    failures: int = 0  # tries in a row that the present step could not finish
    nudges: int = 0
    woken_from: int | None = None  # when it was due before a flood of callbacks of an older attempt made it due
    contradictions: int = 0  # callbacks that the provider's own answer denied
    waiting_for: str = ""  # in words, for `show`: what the last step left it waiting for
    waits: str = ""  # the code of that, where the state does not tell it: one of `WaitCode`
    resent: int = 0  # the attempt whose POST was sent once more, under its idempotency key
    refused_at: int | None = None  # when its provider last refused it as it refuses everybody
    unusable: str = ""  # the provider says that it is done, but so that it cannot be used: `no_video` or `bad_link`
    unusable_at: int | None = None  # since when
    place: str = ""  # where it stands in its provider's line, while it does
    waited_until: int | None = None  # when the POST that it waited there for was begun
    call: str = ""  # a callback that nobody has looked at
    path: MovePath = ""  # how the current state came
    generated_by: str = ""  # how the video was learned of: callback or poll
    lease: str = ""
    lease_until: int | None = None
    leased_at: int | None = None  # when its claim began, however often the lease was renewed since
    request_ids: Mapping[int, str] = field(default_factory=dict)  # attempt -> request id
    cost: Mapping[str, str] = field(default_factory=dict)  # the quote: by the price known when it was accepted
    money: Mapping[int, Money] = field(default_factory=dict)  # attempt -> its money, once its POST was begun
    usage: Mapping[str, Any] = field(default_factory=dict)  # as the provider billed this attempt
    videos: tuple[Video, ...] = ()
    ignored: tuple[IgnoredLink, ...] = ()  # links of the result beside the videos
    differs: tuple[Difference, ...] = ()  # from what was asked
    failing_since: int | None = None  # when the first try past the link's end failed
    videos_attempt: int | None = None  # whose they are, where that is an earlier attempt than the current one
    ended: Mapping[int, str] = field(default_factory=dict)  # earlier attempt -> what it ended as: `failed(confirm)`
    begun: Mapping[int, int] = field(default_factory=dict)  # earlier attempt -> when its last POST was begun
    error: JobError | None = None
    told: str = ""  # which callbacks of the caller's own canvas were sent: success or failure
    told_ver: int = 0
    manifest_ver: int | None = None  # None: no manifest is owed
    notified_ver: int | None = None  # which version the receiver took; None: no notification is wanted
    notify_tries: str = ""  # of the tries at the present version, see `worker/jobs/notification.py`
    notify_dead: int = 0  # the version whose notification was given up
    is_tombstone: bool = False

    @property
    def request_id(self) -> str | None:
        """The provider's id for the current attempt, once it is known."""
        return self.request_ids.get(self.attempt)

    @property
    def reference(self) -> str:
        """Our name for the request of the current attempt, the same for all its tries."""
        return f"{self.id}-{self.attempt}"

    @property
    def video_ms(self) -> int:
        """Milliseconds of video that are made and billed; 0: not known."""
        seconds = self.kind.partition("/")[0]
        return 1000 * int(seconds) if seconds.isdecimal() else 0

    @property
    def give_up_at(self) -> int | None:
        """When its first attempt is not submitted any more, Unix ms; None: the spec names no time."""
        return None if self.give_up_after is None else self.accepted_at + 1000 * self.give_up_after

    @property
    def held(self) -> str:
        """The job's key in the tables of moves: its state; a failed one with its stage."""
        return f"{self.state}({self.error.stage})" if self.error else str(self.state)

    def has_failed_at(self, stage: str) -> bool:
        """Whether it ended without a video at *stage*, one of `states.STAGES`."""
        return self.error is not None and self.error.stage == stage

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_open(self) -> bool:
        """Whether somebody must look again; exactly these jobs stand in the due index."""
        return self.closed_at is None and not self.is_tombstone

    @property
    def is_result_pending(self) -> bool:
        """Whether the caller was not told of this version."""
        return self.told_ver < self.ver

    @property
    def is_manifest_pending(self) -> bool:
        """Whether a manifest of this version is to be written."""
        return self.manifest_ver is not None and self.manifest_ver < self.ver

    @property
    def is_delivered(self) -> bool:
        return not self.is_result_pending and not self.is_manifest_pending


def videos_json(videos: Sequence[Video]) -> str:
    """*videos* as the record keeps them."""
    return rows_json(videos)


def rows_json(rows: Sequence[Video | IgnoredLink | Difference]) -> str:
    """*rows* as the record keeps them."""
    return json.dumps([asdict(row) for row in rows], separators=(",", ":"))
