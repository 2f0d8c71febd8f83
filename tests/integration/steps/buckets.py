"""Buckets that are away, or held up before and after a request for a video."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

import boto3
from botocore.config import Config

from deploy.local.ports import free_port
from tests.integration.steps.conftest import Scene
from worker.bucket.bucket import Bucket
from worker.bucket.videos import Videos
from worker.jobs.job import Video
from worker.services import Services


def without_s3(scene: Scene) -> Services:
    """The services with a bucket that nobody serves."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=1),
    )
    return scene.but(bucket=Bucket(client, scene.services.bucket.name, "callsheet"))


class HeldUpVideos(Videos):
    """Videos where something happens before, or right after, an object becomes visible."""

    def __init__(self, like: Bucket, *, before: Any = None, after: Any = None) -> None:
        super().__init__(like.objects)
        self._before, self._after = before, after

    def store(self, key: str, chunks: Iterable[bytes], **options: Any) -> Video:
        if self._before:
            self._before()
        video = super().store(key, chunks, **options)
        if self._after:
            self._after()
        return video


def held_up_bucket(like: Bucket, *, before: Any = None, after: Any = None) -> Bucket:
    bucket = copy(like)
    bucket.videos = HeldUpVideos(like, before=before, after=after)
    return bucket
