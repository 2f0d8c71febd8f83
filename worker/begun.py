"""What the bucket knows of POSTs that were begun, whatever becomes of Redis.

    <prefix>/.callsheet/intents/<job_id>/<attempt>-<try>    one try at one attempt, made once and never replaced
                       /intents.json                        how many there were (worker/steps/intents.py)
                       /conditional-put                     what S3 is asked to learn what it can do

Redis may come back as an older self, or empty, and with it a job that was sent
stands as one to be sent. The first is made before the POST and under a condition
that fails when it is there, so that of all who would make the same try, in this
Redis or a forgotten one, only one is let through.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from worker import s3
from worker.documents import Documents
from worker.errors import BucketError
from worker.jobs import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

ONLY_IF_ABSENT = {"IfNoneMatch": "*"}
TAKEN, CONFLICT = 412, 409


@dataclass(frozen=True)
class Begun:
    """A try that was begun by somebody else."""

    at: int | None  # when, Unix ms; None: it does not say


class BegunPosts(Documents):
    """The bucket as a second memory for what must never be done twice."""

    def __init__(self, client: S3Client, name: str, prefix: str, hurried: S3Client | None = None) -> None:
        """With *hurried*, a client that gives up in time: what it does stands between a claim and its POST."""
        super().__init__(client, name, prefix)
        self._lock = threading.Lock()
        self._keeps_conditions: bool | None = None
        self._quick = hurried or client

    def begin(self, job_id: str, attempt: int, try_no: int, at: int) -> Begun | None:
        """Write down that this try is begun; None, or who was there before.

        Raises `BucketError` when S3 did not say which, within 15 seconds; then it may be written down or not.
        """
        key, token = self._begun_key(job_id, attempt, try_no), secrets.token_hex(16)
        options = s3.body(json.dumps({"begun_at": at, "by": token}).encode("ascii"))
        with s3.in_our_words(f"{self.name}/{key}", "s3:PutObject"):
            is_guarded = self._has_conditions()
            if not is_guarded and (earlier := self.begun(job_id, attempt, try_no)):
                return earlier
            try:
                condition = ONLY_IF_ABSENT if is_guarded else {}
                self._put(key, self._quick, ContentType="application/json", **options, **condition)
            except ClientError as err:
                if s3.status_of(err) not in (TAKEN, CONFLICT):
                    raise
                return self._unless_by(token, key)
        return None

    def begun(self, job_id: str, attempt: int, try_no: int) -> Begun | None:
        """Who began this try, if anybody did; raises `BucketError` when that cannot be learned now."""
        key = self._begun_key(job_id, attempt, try_no)
        with s3.in_our_words(f"{self.name}/{key}", "s3:GetObject, and s3:ListBucket where nothing is there,"):
            try:
                return Begun(_facts(self._read(key, self._quick))[0])
            except ClientError as err:
                if s3.status_of(err) == 404:
                    return None
                raise

    def _unless_by(self, token: str, key: str) -> Begun | None:
        """None when it was ourselves: our first request was taken and its answer lost."""
        try:
            at, by = _facts(self._read(key, self._quick))
        except (ClientError, BucketError):
            return Begun(None)  # it is there, and not known to be ours
        return None if by == token else Begun(at)

    def put_intents(self, counts: Mapping[int, int]) -> None:
        """Keep how many POSTs each shard of the store had begun, over what was kept before."""
        key = self._intents_key()
        text = json.dumps({str(shard): count for shard, count in counts.items()})
        with s3.in_our_words(f"{self.name}/{key}", "s3:PutObject"):
            self._put(key, self._client, **s3.body(text.encode("ascii")), ContentType="application/json")

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
                self._put(f"{self._prefix}/.callsheet/conditional-put", self._client, **s3.body(b""), **ONLY_IF_ABSENT)
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


def _facts(text: bytes) -> tuple[int | None, str]:
    """When a try was begun, and by whom; what is not ours says neither."""
    try:
        told = json.loads(text)
        return int(told["begun_at"]), str(told["by"])
    except (ValueError, TypeError, KeyError):
        return None, ""
