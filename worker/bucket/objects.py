"""One bucket and our prefix in it, as all parts of the archive use them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.bucket import client as s3
from worker.bucket.capabilities import Capabilities
from worker.errors import BucketError
from worker.jobs.job import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

DOCUMENT_BYTES = 1024**2


class Objects:
    """The place of objects, and the way to send them. Threads may share it."""

    def __init__(
        self,
        client: S3Client,
        name: str,
        prefix: str,
        hurried: S3Client | None = None,
        encryption: Mapping[str, Any] | None = None,
    ) -> None:
        """With *hurried*, a client that gives up within seconds (`client.HURRIED`); *encryption* is of all objects."""
        self.client = client
        self.quick = hurried or client
        self.name = name
        self.prefix = prefix
        self.encryption = encryption or {}
        self.capabilities = Capabilities(self.quick, name, f"{prefix}/.callsheet/conditional-put", self.encryption)

    def folder(self, job_id: str, accepted_at_ms: int) -> str:
        """The folder of a job's objects; raises `BucketError` for what is no job id."""
        if not is_job_id(job_id):
            raise BucketError("refused", "only a job's id can name its folder")
        return f"{self.prefix}/{datetime.fromtimestamp(accepted_at_ms / 1000, UTC):%Y/%m/%d}/{job_id}"

    def in_our_words(self, key: str, right: str) -> AbstractContextManager[None]:
        """Turn botocore's errors about *key* into `BucketError`; *right* is the one that a denied request lacks."""
        return s3.in_our_words(f"{self.name}/{key}", right)

    def put(self, key: str, content: bytes | bytearray, *, client: S3Client | None = None, **options: Any) -> None:
        """Send *content* in one request with its digest; raises botocore's errors."""
        sent = self.capabilities.puts.digest.sent_with(content)
        (client or self.client).put_object(Bucket=self.name, Key=key, **sent, **self.encryption, **options)

    def read(self, key: str, client: S3Client) -> bytes:
        """The text of a small document; raises botocore's errors, `BucketError` for one too long to be ours."""
        text: bytes = client.get_object(Bucket=self.name, Key=key)["Body"].read(DOCUMENT_BYTES + 1)
        if len(text) <= DOCUMENT_BYTES:
            return text
        raise BucketError("too_large", f"{self.name}/{key} is none of ours: over {DOCUMENT_BYTES} bytes")
