"""The small JSON documents that Callsheet keeps in the bucket beside the videos."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.capabilities import Capabilities
from worker.errors import BucketError
from worker.jobs.job import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MANIFEST_KEY = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/(?P<job_id>[A-Za-z0-9_-]{1,64})/job\.json")
DOCUMENT_BYTES = 1024**2
DAY_MS = 24 * 60 * 60 * 1000
NOT_FOUND = 404


class Documents:
    """The bucket as it is read and written whole, in one request."""

    def __init__(
        self,
        client: S3Client,
        name: str,
        prefix: str,
        hurried: S3Client | None = None,
        encryption: Mapping[str, Any] | None = None,
    ) -> None:
        """With *hurried*, a client that gives up within seconds (`client.HURRIED`); *encryption* is of all objects."""
        self._encryption = encryption or {}
        self.name = name
        self._client = client
        self._quick = hurried or client
        self._prefix = prefix
        self._capabilities = Capabilities(self._quick, name, f"{prefix}/.callsheet/conditional-put", self._encryption)

    def put_manifest(self, job_id: str, accepted_at_ms: int, manifest: Mapping[str, Any]) -> None:
        """Write the job's `job.json`, over an older one."""
        key = f"{self._folder(job_id, accepted_at_ms)}/job.json"
        text = json.dumps(manifest, indent=2, sort_keys=True)
        with s3.in_our_words(f"{self.name}/{key}", "s3:PutObject"):
            self._put(key, text.encode("ascii"), ContentType="application/json")

    def manifests(self) -> Iterator[tuple[str, str]]:
        """Every job that has a manifest here, and the manifest's key; the day of acceptance orders them."""
        with s3.in_our_words(f"{self.name}/{self._prefix}/", "s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=f"{self._prefix}/"):
                for entry in page.get("Contents", ()):
                    if found := MANIFEST_KEY.fullmatch(entry["Key"].removeprefix(f"{self._prefix}/")):
                        yield found["job_id"], entry["Key"]

    def recent_jobs(self, now_ms: int) -> set[str]:
        """Jobs that this bucket surely knows of since yesterday (UTC): some that are archived, and some whose POST was
        begun. A sample of few requests, not all of them."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        days = [f"{self._prefix}/{day:%Y/%m/%d}/" for day in (now, now - timedelta(days=1))]
        begun = f"{self._prefix}/.callsheet/intents/"
        found: set[str] = set()
        with s3.in_our_words(f"{self.name}/{self._prefix}/", "s3:ListBucket"):
            for folder in (*days, begun):
                page = self._client.list_objects_v2(Bucket=self.name, Prefix=folder)
                for entry in page.get("Contents", ()):
                    job_id = entry["Key"].removeprefix(folder).partition("/")[0]
                    if is_job_id(job_id) and now - entry["LastModified"] < timedelta(days=1):
                        found.add(job_id)
        return found

    def find_manifests(self, job_id: str, instants_ms: Collection[int]) -> Iterator[tuple[str, bytes]]:
        """Key and text of each manifest of the job in the folders of these days (UTC) and the days before them."""
        days = {at - back for at in instants_ms for back in (0, DAY_MS)}
        for folder in sorted({self._folder(job_id, day) for day in days}, reverse=True):
            key = f"{folder}/job.json"
            with s3.in_our_words(f"{self.name}/{key}", "s3:GetObject, and s3:ListBucket where nothing is there,"):
                try:
                    yield key, self._read(key, self._client)
                except ClientError as err:
                    if s3.status_of(err) != NOT_FOUND:
                        raise

    def read_manifest(self, key: str) -> bytes:
        """A manifest's text; raises `BucketError`, also for one that is too long to be ours."""
        with s3.in_our_words(f"{self.name}/{key}", "s3:GetObject"):
            return self._read(key, self._client)

    def _read(self, key: str, client: S3Client) -> bytes:
        text: bytes = client.get_object(Bucket=self.name, Key=key)["Body"].read(DOCUMENT_BYTES + 1)
        if len(text) <= DOCUMENT_BYTES:
            return text
        raise BucketError("too_large", f"{self.name}/{key} is none of ours: over {DOCUMENT_BYTES} bytes")

    def _put(self, key: str, content: bytes | bytearray, *, client: S3Client | None = None, **options: Any) -> None:
        """Send *content* in one request with its digest; raises botocore's errors."""
        sent = self._capabilities.puts.digest.sent_with(content)
        (client or self._client).put_object(Bucket=self.name, Key=key, **sent, **self._encryption, **options)

    def _folder(self, job_id: str, accepted_at_ms: int) -> str:
        if not is_job_id(job_id):
            raise BucketError("refused", "only a job's id can name its folder")
        return f"{self._prefix}/{datetime.fromtimestamp(accepted_at_ms / 1000, UTC):%Y/%m/%d}/{job_id}"
