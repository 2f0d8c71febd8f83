"""The manifests: a `job.json` beside each job's videos, from which the record can be rebuilt without Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.objects import Objects

MANIFEST_KEY = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/(?P<job_id>[A-Za-z0-9_-]{1,64})/job\.json")
DAY_MS = 24 * 60 * 60 * 1000
NOT_FOUND = 404


class Manifests:
    """The manifests of one bucket. Threads may share it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, job_id: str, accepted_at_ms: int, manifest: Mapping[str, Any]) -> None:
        """Write the job's `job.json`, over an older one."""
        key = f"{self._objects.folder(job_id, accepted_at_ms)}/job.json"
        text = json.dumps(manifest, indent=2, sort_keys=True)
        with self._objects.in_our_words(key, "s3:PutObject"):
            self._objects.put(key, text.encode("ascii"), ContentType="application/json")

    def all(self) -> Iterator[tuple[str, str]]:
        """Every job that has a manifest here, and the manifest's key; the day of acceptance orders them."""
        with self._objects.in_our_words(f"{self._objects.prefix}/", "s3:ListBucket"):
            pages = self._objects.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._objects.name, Prefix=f"{self._objects.prefix}/"):
                for entry in page.get("Contents", ()):
                    if found := MANIFEST_KEY.fullmatch(entry["Key"].removeprefix(f"{self._objects.prefix}/")):
                        yield found["job_id"], entry["Key"]

    def of_job(self, job_id: str, instants_ms: Collection[int]) -> Iterator[tuple[str, bytes]]:
        """Key and text of each manifest of the job in the folders of these days (UTC) and the days before them."""
        days = {at - back for at in instants_ms for back in (0, DAY_MS)}
        for folder in sorted({self._objects.folder(job_id, day) for day in days}, reverse=True):
            key = f"{folder}/job.json"
            with self._objects.in_our_words(key, "s3:GetObject, and s3:ListBucket where nothing is there,"):
                try:
                    yield key, self._objects.read(key, self._objects.client)
                except ClientError as err:
                    if s3.status_of(err) != NOT_FOUND:
                        raise

    def read(self, key: str) -> bytes:
        """A manifest's text; raises `BucketError`, also for one that is too long to be ours."""
        with self._objects.in_our_words(key, "s3:GetObject"):
            return self._objects.read(key, self._objects.client)
