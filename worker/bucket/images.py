"""The images that callers sent inline, for providers that take only URLs."""

from __future__ import annotations

import re

from worker.bucket.objects import Objects
from worker.errors import BucketError

IMAGE_TYPES = {"image/jpeg": "jpg", "image/png": "png"}


class Images:
    """The images of one bucket. Threads may share it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def key(self, job_id: str, accepted_at_ms: int, field: str, content_type: str) -> str:
        """The key of an image that came inline."""
        extension = IMAGE_TYPES.get(content_type)
        if extension is None or not re.fullmatch(r"[a-z_]{1,40}(-[0-9]{1,2})?", field):
            raise BucketError("refused", f"job {job_id}: only images of a known type are kept, by their field's name")
        return f"{self._objects.folder(job_id, accepted_at_ms)}/input-{field}.{extension}"

    def put(self, job_id: str, accepted_at_ms: int, field: str, content: bytes, content_type: str) -> str:
        """Keep an image that came inline; returns its key."""
        key = self.key(job_id, accepted_at_ms, field, content_type)
        with self._objects.in_our_words(key, "s3:PutObject"):
            # between a claim and its POST, as `Intents` is
            self._objects.put(key, content, client=self._objects.quick, ContentType=content_type)
        return key
