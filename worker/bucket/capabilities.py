"""Find out, by doing what archiving does, which extensions of the S3 API a store knows.

It is asked once, at the first need, or by some at once, through the client that gives up in time. What was learnt
is remembered for the process. The object that the trials write stays: small, and under one key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.extensions import Digest, Extensions, is_unknown
from worker.bucket.multipart import Multipart

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

ONLY_IF_ABSENT: Mapping[str, Any] = {"IfNoneMatch": "*"}
BAD_DIGEST, TAKEN, CONFLICT = 400, 412, 409
CONTENT, OTHER = b"callsheet", b"something else"
PART_WAYS = ((Digest.SHA256, True), (Digest.SHA256, False), (Digest.MD5, False), (Digest.NONE, False))


@dataclass(frozen=True)
class Probe:
    """The proven abilities of a bucket, besides taking and giving an object."""

    puts: Extensions
    parts: Extensions

    @property
    def keeps_conditions(self) -> bool:
        return self.puts.keeps_conditions and self.parts.keeps_conditions

    def lacking(self) -> list[str]:
        """In words, what this store does not do, and what is done instead."""
        of_parts = (f"in parts: {words}" for words in self.parts.lacking() if words not in set(self.puts.lacking()))
        return [*self.puts.lacking(), *of_parts]


class Capabilities:
    """The abilities of one client's store, learnt from writes at *key*. Threads may share it."""

    def __init__(self, client: S3Client, bucket: str, key: str, options: Mapping[str, Any]) -> None:
        """*options* go with every object, as with those that are kept."""
        self._options = options
        self._client = client
        self._bucket = bucket
        self._key = key
        self._puts: Extensions | None = None
        self._parts: Extensions | None = None

    @property
    def puts(self) -> Extensions:
        """For objects that are sent in one request; raises botocore's errors."""
        if self._puts is None:
            self._puts = self._told("PutObject", self._learn_puts())
        return self._puts

    @property
    def parts(self) -> Extensions:
        """For objects that are sent in parts; raises botocore's errors."""
        if self._parts is None:
            _ = self.puts  # leaves an object at the key, which a condition needs to fail
            self._parts = self._told("multipart uploads", self._learn_parts())
        return self._parts

    def forget(self) -> None:
        """Try again at the next need."""
        self._puts = self._parts = None

    def _told(self, what: str, found: Extensions) -> Extensions:
        if lacking := list(found.lacking()):
            log.warning("bucket.second_way", extra={"bucket": self._bucket, "of": what, "reason": "; ".join(lacking)})
        return found

    def _learn_puts(self) -> Extensions:
        return _first_that_works((Extensions(digest, keeps_conditions=True) for digest in Digest), self._try_puts)

    def _learn_parts(self) -> Extensions:
        ways = (Extensions(digest, keeps_conditions=True, names_digests=named) for digest, named in PART_WAYS)
        return _first_that_works(ways, self._try_parts)

    def _try_puts(self, way: Extensions) -> Extensions | None:
        """Send *way*'s digest; None: the store takes any digest. Raises its refusal."""
        keeps_conditions = _keeps_conditions(lambda: self._put(way.digest, **ONLY_IF_ABSENT), tries=2)
        if not keeps_conditions:
            _insist(lambda: self._put(way.digest))
        is_checked = way.digest is Digest.NONE or _refuses(lambda: self._put_damaged(way.digest))
        return Extensions(way.digest, keeps_conditions) if is_checked else None

    def _put(self, digest: Digest, **condition: Any) -> None:
        sent = digest.sent_with(CONTENT)
        self._client.put_object(Bucket=self._bucket, Key=self._key, **sent, **self._options, **condition)

    def _put_damaged(self, digest: Digest) -> None:
        sent: Any = {**digest.sent_with(OTHER), "Body": CONTENT}
        self._client.put_object(Bucket=self._bucket, Key=self._key, **sent, **self._options)

    def _try_parts(self, way: Extensions) -> Extensions | None:
        keeps_conditions = _keeps_conditions(lambda: self._upload(way, **ONLY_IF_ABSENT), tries=1)
        is_checked: list[bool] = []
        _insist(lambda: is_checked.append(self._upload(way, is_tried=True)))
        return Extensions(way.digest, keeps_conditions, way.names_digests) if is_checked[-1] else None

    def _upload(self, way: Extensions, *, is_tried: bool = False, **condition: Any) -> bool:
        """Send an object in one part. Returns, where that *is_tried*, whether a damaged part was refused before."""
        with Multipart(self._client, self._bucket, self._key, way, **self._options) as upload:
            damaged = {**way.digest.sent_with(OTHER), "Body": CONTENT}
            is_checked = not is_tried or way.digest is Digest.NONE or _refuses(lambda: upload.send_part(1, damaged))
            upload.send_whole(CONTENT)
            upload.complete(**condition)
        return is_checked


def _first_that_works(ways: Iterable[Extensions], attempt: Callable[[Extensions], Extensions | None]) -> Extensions:
    """The outcome of the first of *ways* that the store takes; raises its refusal of the last."""
    refusal: ClientError | None = None
    for way in ways:
        try:
            if found := attempt(way):
                return found
        except ClientError as err:
            if not is_unknown(err):
                raise
            refusal = err
    raise refusal or AssertionError("the last way asks for no extension, so it is taken or refused")


def _keeps_conditions(write: Callable[[], object], *, tries: int) -> bool:
    """Whether one of *tries* conditional writes to one key is refused because an object is there."""
    for _ in range(tries):
        try:
            _insist(write)
        except ClientError as err:
            if s3.status_of(err) in (TAKEN, CONFLICT):
                return True
            if is_unknown(err):
                return False
            raise
    return False


def _insist(write: Callable[[], object]) -> None:
    """Write, and once more where the store says that it does not know what was asked: that may pass."""
    try:
        write()
    except ClientError as err:
        if not is_unknown(err):
            raise
        write()


def _refuses(write: Callable[[], object]) -> bool:
    """Whether the store refuses bytes that are not those of their digest."""
    try:
        write()
    except ClientError as err:
        if s3.status_of(err) != BAD_DIGEST:
            raise
        return True
    return False
