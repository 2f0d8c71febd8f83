"""Extensions of the S3 API that a store may lack, and the second way for each.

    extension                                          second way
    x-amz-checksum-sha256 with a body                  Content-MD5; where a wrong one is taken, too: read back and hash
    checksums of the parts in CompleteMultipartUpload  leave them out: each part was checked when it came
    If-None-Match on PutObject                         look first, write, read back and hash
    If-None-Match on CompleteMultipartUpload           the same

A store answers 400 or 501 to one that it does not know, or takes no notice of it: `Capabilities` finds out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import md5, sha256
from typing import Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3

UNKNOWN = (400, 501)
"""Statuses of an answer to an extension that the store does not know."""


class Digest(StrEnum):
    """Digest of a body that is sent with it, best first."""

    SHA256 = "x-amz-checksum-sha256"
    MD5 = "Content-MD5"
    NONE = "none"

    def of(self, content: bytes | bytearray) -> dict[str, str]:
        """The argument of boto3 that sends the digest of *content*."""
        if self is Digest.NONE:
            return {}
        if self is Digest.MD5:
            return {"ContentMD5": _base64(md5(content, usedforsecurity=False).digest())}
        return {"ChecksumSHA256": _base64(sha256(content).digest())}

    def sent_with(self, content: bytes | bytearray) -> dict[str, Any]:
        """The arguments of boto3 that send *content* with its digest."""
        return {"Body": content, **self.of(content)}


@dataclass(frozen=True)
class Extensions:
    """Which extensions a store knows in one kind of write: objects in one request, or in parts."""

    digest: Digest  # checked when a body comes; NONE: the store checks none that we know
    keeps_conditions: bool
    names_digests: bool = True  # those of the parts, in CompleteMultipartUpload

    @property
    def are_exact(self) -> bool:
        """Whether a write that succeeded has surely stored our bytes, where nothing was."""
        return self.keeps_conditions and self.digest is not Digest.NONE

    def lacking(self) -> Iterator[str]:
        """In words, what the store does not do, and what is done instead."""
        if self.digest is Digest.MD5:
            yield "x-amz-checksum-sha256 is not checked: Content-MD5 is sent instead"
        if self.digest is Digest.NONE:
            yield "no digest of a body is checked: every video is read back and hashed instead"
        elif not self.names_digests:
            yield "checksums at the end of an upload in parts are not known: they are left out"
        if not self.keeps_conditions:
            yield "conditional writes are not kept: every video is looked for first, read back and hashed instead"


def is_unknown(err: ClientError) -> bool:
    """Whether *err* may be a store's answer to an extension that it does not know."""
    return s3.status_of(err) in UNKNOWN and s3.code_of(err) not in s3.WORDS


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
