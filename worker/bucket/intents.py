"""What the bucket knows of POSTs that were begun, whatever becomes of Redis.

    <prefix>/.callsheet/intents/<job_id>/<attempt>-<try>    one try at one attempt, made once and never replaced
                       /intents.json                        how many there were (worker/steps/rollback_guard.py)
                       /conditional-put                     what S3 is asked to learn what it can do

Redis may come back as an older self, or empty, and with it a job that was sent
stands as one to be sent. The first is made before the POST and under a condition
that fails when it is there, so that of all who would make the same try, in this
Redis or a forgotten one, only one is let through.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.fast_requests import Direct
from worker.bucket.manifests import Documents
from worker.errors import BucketError
from worker.jobs.job import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ONLY_IF_ABSENT = {"IfNoneMatch": "*"}
TAKEN, CONFLICT = 412, 409
TRIES = 3
"""How often S3 may say that another request for the same key is under way."""


@dataclass(frozen=True)
class Begun:
    """A try that somebody began."""

    at: int | None  # when, Unix ms; None: it does not say
    by: str  # the name that whoever began it had for that time


class BegunPosts(Documents):
    """The bucket as a second memory for what must never be done twice."""

    def __init__(self, client: S3Client, name: str, prefix: str, hurried: S3Client | None = None) -> None:
        """With *hurried*, a client that gives up in time: what it does stands between a claim and its POST."""
        super().__init__(client, name, prefix)
        self._lock = threading.Lock()
        self._keeps_conditions: bool | None = None
        self._quick = hurried or client
        self._quick_direct = Direct(self._quick, name)

    @property
    def place(self) -> str:
        """A short word for where this process looks: another process may be told of another bucket or prefix."""
        return sha256(f"{self.name}/{self._prefix}".encode()).hexdigest()[:8]

    def begin(self, job_id: str, attempt: int, try_no: int, *, by: str, at: int) -> Begun | None:
        """Write down that *by* begins this try; None, or who was there before. Of all who ask, one is told None.

        *by* may ask again. Raises `BucketError` when S3 did not say which, within a minute; then it may be
        written down or not.
        """
        key = self._begun_key(job_id, attempt, try_no)
        options = s3.body(json.dumps({"begun_at": at, "by": by}).encode("ascii"))
        with s3.in_our_words(f"{self.name}/{key}", "s3:PutObject and s3:GetObject"):
            is_guarded = self._has_conditions()
            for _ in range(TRIES):
                if not is_guarded and (found := self._held(key)):
                    return _unless(by, found)
                condition = ONLY_IF_ABSENT if is_guarded else {}
                try:
                    self._quick_direct.put(key, ContentType="application/json", **options, **condition)
                    return None
                except ClientError as err:
                    if s3.status_of(err) not in (TAKEN, CONFLICT):
                        raise
                if found := self._held(key):
                    return _unless(by, found)
        raise BucketError("conflict", f"{self.name}/{key}: S3 says again and again that somebody is writing it")

    def begun(self, job_id: str, attempt: int, try_no: int) -> Begun | None:
        """Who began this try, if anybody did; raises `BucketError` when that cannot be learned now."""
        key = self._begun_key(job_id, attempt, try_no)
        with s3.in_our_words(f"{self.name}/{key}", "s3:GetObject, and s3:ListBucket where nothing is there,"):
            return self._held(key)

    def _held(self, key: str) -> Begun | None:
        """Who began the try at *key*, as far as what is there says; None: nothing is there."""
        try:
            return _read_begun(self._read(key, self._quick))
        except ClientError as err:
            if s3.status_of(err) == 404:
                return None
            raise
        except BucketError:  # too large to be ours, but it is there
            return Begun(None, "")

    def put_intents(self, counts: Mapping[int, int]) -> None:
        """Keep how many POSTs each shard of the store had begun, over what was kept before."""
        key = self._intents_key()
        text = json.dumps({str(shard): count for shard, count in counts.items()})
        with s3.in_our_words(f"{self.name}/{key}", "s3:PutObject"):
            self._direct.put(key, **s3.body(text.encode("ascii")), ContentType="application/json")

    def read_intents(self) -> dict[int, int]:
        """What `put_intents` kept last; raises `BucketError` when that cannot be learned now."""
        key = self._intents_key()
        with s3.in_our_words(f"{self.name}/{key}", "s3:GetObject, and s3:ListBucket where nothing is there,"):
            try:
                text = self._read(key, self._client)
            except ClientError as err:
                if s3.status_of(err) == 404:
                    return {}
                raise
        try:
            return {int(shard): int(count) for shard, count in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError) as err:
            raise BucketError("damaged", f"{self.name}/{key} is not what was kept there: remove it") from err

    def _has_conditions(self) -> bool:
        """Whether this S3 keeps `If-None-Match`, which several silently ignore; asked once."""
        with self._lock:
            if self._keeps_conditions is None:
                self._keeps_conditions = self._try_conditions()
            return self._keeps_conditions

    def _try_conditions(self) -> bool:
        for _ in range(2):
            try:
                self._direct.put(f"{self._prefix}/.callsheet/conditional-put", **s3.body(b""), **ONLY_IF_ABSENT)
            except ClientError as err:
                if s3.status_of(err) in (TAKEN, CONFLICT):
                    return True
                if s3.status_of(err) == 501:
                    return False
                raise
        return False

    def _intents_key(self) -> str:
        return f"{self._prefix}/.callsheet/intents.json"

    def _begun_key(self, job_id: str, attempt: int, try_no: int) -> str:
        if not is_job_id(job_id):
            raise BucketError("refused", "only a job's id can name its tries")
        return f"{self._prefix}/.callsheet/intents/{job_id}/{int(attempt)}-{int(try_no)}"


def _unless(by: str, found: Begun) -> Begun | None:
    """None when *by* was there first: its request was taken and the answer lost."""
    return None if found.by == by else found


def _read_begun(text: bytes) -> Begun:
    """What stands in the bucket of a try; what is not ours says neither when nor who."""
    try:
        told = json.loads(text)
        return Begun(int(told["begun_at"]), str(told["by"]))
    except (ValueError, TypeError, KeyError):
        return Begun(None, "")
