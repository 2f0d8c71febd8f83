"""Write-ahead log of paid POSTs in S3: it outlives every loss, rollback and failover of Redis.

    <prefix>/.callsheet/intents/<job_id>/<attempt>-<try>    one try at one attempt
                       /conditional-put                     an object that tells what the store knows (capabilities.py)

An object of a try is made before its POST, under a condition that fails when the key is taken. Of all
processes that would make the same try, in this Redis or in one that is forgotten, one is let through.
It is JSON with `begun_at` (Unix ms) and `by`, the name of that process for this one try; later, written
over it by the same process, the outcome: `request_id` and `provider`, or `is_unpaid`, with `ended` where the
attempt has ended by it.

A process that has to say "nothing was paid" withholds the next try: it makes that object itself, so that
nobody can send the try any more, and the verdict outlives Redis.

Everything here is asked for between a lease and a POST, or by somebody who waits: it goes through the
client that gives up in time, and under no lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.capabilities import CONFLICT, ONLY_IF_ABSENT, TAKEN
from worker.bucket.objects import Objects
from worker.errors import BucketError
from worker.jobs.job import is_job_id

TRY_KEY = re.compile(r"(?P<job_id>[A-Za-z0-9_-]{1,64})/(?P<attempt>[1-9][0-9]{0,8})-(?P<try_no>[1-9][0-9]{0,8})")
TRIES = 3
"""The number of times that S3 may say that another request for the same key is under way."""


@dataclass(frozen=True)
class Begun:
    """A try that was begun, as far as its object says."""

    at: int | None  # when, Unix ms; None: it does not say
    by: str  # the name that its process had for this try
    request_id: str | None = None  # the provider's answer, where it was kept
    provider: str = ""  # of that request id
    is_unpaid: bool = False  # it was withheld, or the provider surely did not take it
    ended: str = ""  # unpaid, and the attempt has ended by it: `cancelled`, or the code of `failed(submit)`


class Try(NamedTuple):
    """Which POST of all: its job, its attempt, its number in that attempt."""

    job_id: str
    attempt: int
    try_no: int


class Intents:
    """The log of one bucket. Threads may share it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    @property
    def place(self) -> str:
        """A short word for where this process looks: another process may be told of another bucket or prefix."""
        return sha256(f"{self._objects.name}/{self._objects.prefix}".encode()).hexdigest()[:8]

    def begin(self, job_id: str, attempt: int, try_no: int, *, by: str, at: int) -> Begun | None:
        """Record that *by* is about to send this try.

        Returns None to exactly one name, which may ask again; all others get the earlier record.
        Raises `BucketError` when S3 did not say which; then it may be recorded or not.
        """
        found = self._take(Try(job_id, attempt, try_no), Begun(at, by))
        return None if found is None or found.by == by else found

    def withhold(self, job_id: str, attempt: int, try_no: int, *, by: str, at: int, ended: str = "") -> Begun | None:
        """Keep every process from sending this try. Returns None, or the record of the one that came first.

        With the name of a process that has begun it and will not send it, what that recorded is replaced.
        Raises `BucketError` as `begin` does.
        """
        this, unpaid = Try(job_id, attempt, try_no), Begun(at, by, is_unpaid=True, ended=ended)
        found = self._take(this, unpaid)
        if found is None or found.by != by:
            return found
        self.keep(job_id, attempt, try_no, unpaid)
        return None

    def keep(self, job_id: str, attempt: int, try_no: int, begun: Begun) -> None:
        """Write the outcome over what the same process recorded before; raises `BucketError`."""
        key = self._key(Try(job_id, attempt, try_no))
        with self._objects.in_our_words(key, "s3:PutObject"):
            self._objects.put(key, _to_json(begun), client=self._objects.quick, ContentType="application/json")

    def begun(self, job_id: str, attempt: int, try_no: int) -> Begun | None:
        """The record of this try, if there is one; raises `BucketError` when that cannot be learned now."""
        key = self._key(Try(job_id, attempt, try_no))
        with self._objects.in_our_words(key, "s3:GetObject, and s3:ListBucket where nothing is there,"):
            return self._held(key)

    def last_begun(self, job_id: str, attempt: int, try_no: int) -> Begun | None:
        """The last try from *try_no* on that may have been taken, else the one that has ended the attempt.

        None: no try from there on was taken. Tries are recorded without a gap, so the first one that is missing ends
        the search. Raises `BucketError` when that cannot be learned now.
        """
        taken, ended = None, None
        while found := self.begun(job_id, attempt, try_no):
            taken = taken if found.is_unpaid else found
            ended = found if found.ended else ended
            try_no += 1
        return taken or ended

    def jobs(self) -> Iterator[tuple[str, int]]:
        """Every job of which a try is recorded, and the last attempt of which one is; raises `BucketError`."""
        for job_id, tries in groupby(self._tries(), key=lambda this: this.job_id):
            yield job_id, max(this.attempt for this in tries)

    def _tries(self) -> Iterator[Try]:
        folder = f"{self._objects.prefix}/.callsheet/intents/"
        with self._objects.in_our_words(folder, "s3:ListBucket"):
            for page in self._objects.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._objects.name, Prefix=folder
            ):
                for entry in page.get("Contents", ()):
                    if found := TRY_KEY.fullmatch(entry["Key"].removeprefix(folder)):
                        yield Try(found["job_id"], int(found["attempt"]), int(found["try_no"]))

    def _take(self, this: Try, begun: Begun) -> Begun | None:
        """Record *begun* where nothing is recorded; None, or what was there before, be it of the same name."""
        key = self._key(this)
        content = _to_json(begun)
        with self._objects.in_our_words(key, "s3:PutObject and s3:GetObject"):
            is_guarded = self._objects.capabilities.puts.keeps_conditions
            for _ in range(TRIES):
                if not is_guarded and (found := self._held(key)):
                    return found
                condition = ONLY_IF_ABSENT if is_guarded else {}
                try:
                    self._objects.put(
                        key, content, client=self._objects.quick, ContentType="application/json", **condition
                    )
                    return None
                except ClientError as err:
                    if s3.status_of(err) not in (TAKEN, CONFLICT):
                        raise
                if found := self._held(key):
                    return found
        raise BucketError(
            "conflict", f"{self._objects.name}/{key}: S3 says again and again that somebody is writing it"
        )

    def _held(self, key: str) -> Begun | None:
        """Read the record at *key*; None: there is none."""
        try:
            return _from_json(self._objects.read(key, self._objects.quick))
        except ClientError as err:
            if s3.status_of(err) == 404:
                return None
            raise
        except BucketError:  # too large to be ours, but it is there
            return Begun(None, "")

    def _key(self, this: Try) -> str:
        if not is_job_id(this.job_id):
            raise BucketError("refused", "only a job's id can name its tries")
        return f"{self._objects.prefix}/.callsheet/intents/{this.job_id}/{int(this.attempt)}-{int(this.try_no)}"


def _to_json(begun: Begun) -> bytes:
    told = {name: value for name, value in asdict(begun).items() if value}
    return json.dumps({"begun_at": told.pop("at", None), **told}).encode("ascii")


def _from_json(text: bytes) -> Begun:
    """Read the record of a try; a foreign object says only that the try was begun."""
    try:
        told = json.loads(text)
        at, by, request_id = int(told["begun_at"]), str(told["by"]), told.get("request_id")
        provider, is_unpaid, ended = (told.get("provider", ""), told.get("is_unpaid") is True, told.get("ended", ""))
        return Begun(at, by, str(request_id) if request_id else None, str(provider), is_unpaid, str(ended))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Begun(None, "")
