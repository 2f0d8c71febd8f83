"""The archive: every object that Callsheet puts into your bucket, and how it gets there exactly once.

<prefix>/<yyyy>/<mm>/<dd of acceptance>/<job_id>/<attempt>-<n>.mp4    a video, never replaced (.mov, .webm, .mkv)
                                                /job.json             the job's manifest
                                                /input-<field>.<ext>  an image that the caller sent inline
<prefix>/unverified/<yyyy>/<mm>/<dd>/<job_id>/<attempt>-<n>           what came for a video and cannot be checked
<prefix>/.callsheet/                                                  the POSTs that were begun (intents.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.capabilities import Probe
from worker.bucket.images import Images
from worker.bucket.intents import Intents
from worker.bucket.look import look
from worker.bucket.manifests import Manifests
from worker.bucket.objects import Objects
from worker.bucket.videos import Videos
from worker.errors import BucketError
from worker.jobs.images import split_s3
from worker.jobs.job import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client


class Bucket:
    """One bucket and our prefix in it, in parts by subject. Threads may share it."""

    def __init__(
        self,
        client: S3Client,
        name: str,
        prefix: str,
        hurried: S3Client | None = None,
        encryption: Mapping[str, Any] | None = None,
    ) -> None:
        """As `Objects`."""
        self.name = name
        self.objects = Objects(client, name, prefix, hurried, encryption)
        self.videos = Videos(self.objects)
        self.images = Images(self.objects)
        self.manifests = Manifests(self.objects)
        self.intents = Intents(self.objects)

    @classmethod
    def connect(cls, name: str, prefix: str, encryption: Mapping[str, str] | None = None) -> Bucket:
        """The bucket *name* at the S3 that boto3's environment names; sends nothing yet."""
        patient, hurried = s3.connect()
        return cls(patient, name, prefix, hurried, encryption)

    def missing(self, uri: str) -> str | None:
        """Why the object at `s3://bucket/key` cannot be handed on, in words; None: it is there and open to us.

        Raises `BucketError` when S3 does not tell.
        """
        bucket, key = self._split(uri)
        with s3.in_our_words(f"{bucket}/{key}", "s3:GetObject"):
            try:
                return None if look(self.objects.client, bucket, key) else "there is no such object in S3"
            except ClientError as err:
                if s3.reason_of(err) == "missing":
                    return "there is no such bucket in S3"
                if s3.reason_of(err) != "denied":  # our own credentials, say, of which the object knows nothing
                    raise
                return "S3 does not open it to us (s3:GetObject)"

    def presign(
        self, key_or_uri: str, seconds: int, *, filename: str | None = None, shown_as: str | None = None
    ) -> str:
        """A URL that lets anybody GET one object for *seconds*: a key of ours, or any `s3://bucket/key`.

        With *filename*, which must be fit for a header, a browser saves it under that name instead of showing it.
        *shown_as*, of the same form, only names it: the URL bears that name in its query, and the signature covers it.
        """
        bucket, key = self._split(key_or_uri) if key_or_uri.startswith("s3://") else (self.name, key_or_uri)
        with s3.in_our_words(f"{bucket}/{key}", "s3:GetObject"):
            where = {"Bucket": bucket, "Key": key}
            if filename is not None:
                where["ResponseContentDisposition"] = f'attachment; filename="{filename}"'
            elif shown_as is not None:
                where["ResponseContentDisposition"] = f'inline; filename="{shown_as}"'
            return self.objects.client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)

    def _split(self, uri: str) -> tuple[str, str]:
        try:
            return split_s3(uri)
        except ValueError as err:
            raise BucketError("refused", f"an s3:// URI {err}") from err

    def reach(self) -> None:
        """Raise `BucketError` unless the bucket answers and is ours."""
        with self.objects.in_our_words(f"{self.objects.prefix}/", "s3:ListBucket"):
            try:
                # no HEAD of the bucket: its answers have no code, and a role for the prefix alone is denied it
                self.objects.client.list_objects_v2(Bucket=self.name, Prefix=f"{self.objects.prefix}/", MaxKeys=1)
            except ClientError as err:
                if s3.status_of(err) == 404:
                    raise BucketError("missing", f"{self.name}: no such bucket here; create it first") from err
                raise

    def probe(self) -> Probe:
        """Do once what archiving does; raises `BucketError` at the first thing that cannot be done."""
        self.reach()
        key = f"{self.objects.prefix}/.callsheet/probe"
        with self.objects.in_our_words(key, "s3:PutObject"):
            self.objects.capabilities.forget()
            puts, parts = self.objects.capabilities.puts, self.objects.capabilities.parts
            self.objects.put(key, b"probe")
        with self.objects.in_our_words(key, "s3:GetObject"):
            if self.objects.client.get_object(Bucket=self.name, Key=key)["Body"].read() != b"probe":
                raise BucketError("damaged", f"{self.name}/{key}: S3 gives other bytes back than it was sent")
        try:
            with self.objects.in_our_words(key, "s3:DeleteObject"):
                self.objects.client.delete_object(Bucket=self.name, Key=key)
        except BucketError as err:
            if err.reason != "denied":  # no step needs that right: then the probe stays, under its one key
                raise
        self.videos.find(f"{self.objects.prefix}/.callsheet/nobody/0-0.mp4")
        return Probe(puts, parts)

    def recent_jobs(self, now_ms: int) -> set[str]:
        """Jobs that this bucket surely knows of since yesterday (UTC): some that are archived, and some whose POST was
        begun. A sample of few requests, not all of them."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        days = [f"{self.objects.prefix}/{day:%Y/%m/%d}/" for day in (now, now - timedelta(days=1))]
        begun = f"{self.objects.prefix}/.callsheet/intents/"
        found: set[str] = set()
        with self.objects.in_our_words(f"{self.objects.prefix}/", "s3:ListBucket"):
            for folder in (*days, begun):
                page = self.objects.client.list_objects_v2(Bucket=self.name, Prefix=folder)
                for entry in page.get("Contents", ()):
                    job_id = entry["Key"].removeprefix(folder).partition("/")[0]
                    if is_job_id(job_id) and now - entry["LastModified"] < timedelta(days=1):
                        found.add(job_id)
        return found
