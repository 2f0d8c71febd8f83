"""The bucket's content, read as its owner would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.acceptance.ledger import Ledger
from tests.conftest import WaitUntil


class Objects:
    """The bucket of a stack, named by the stack's environment."""

    def __init__(self, env: Mapping[str, str], wait_until: WaitUntil) -> None:
        self._wait_until = wait_until
        self._name = env["CALLSHEET_BUCKET"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL_S3"],
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            verify=env["AWS_CA_BUNDLE"],
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def of(self, job_id: str) -> list[str]:
        """The names of the objects in the job's folder."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(key.rpartition("/")[2] for key in keys if f"/{job_id}/" in key and "/.callsheet/" not in key)

    def read(self, uri: str) -> bytes:
        place = urlsplit(uri)
        body = self._s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
        with body:
            content: bytes = body.read()
        return content

    def manifest(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The `job.json` beside the videos of *result*; it is written after the result is told."""
        self._wait_until(lambda: "job.json" in self.of(result["job_id"]), 30)
        folder = result["videos"][0]["uri"].rpartition("/")[0]
        document: dict[str, Any] = json.loads(self.read(f"{folder}/job.json"))
        return document

    def close(self) -> None:
        self._s3.close()


class Proof:
    """Whether what a result tells is so: in the bucket, at the provider, and beside one another."""

    def __init__(self, ledger: Ledger, objects: Objects) -> None:
        self._ledger = ledger
        self._objects = objects

    def faults(self, result: Mapping[str, Any]) -> list[str]:
        """List the faults of an archived job's *result*, in words."""
        job_id, videos = result["job_id"], result["videos"]
        manifest = self._objects.manifest(result)
        created = self._ledger.created(job_id)
        in_bucket = [sha256(self._objects.read(video["uri"])).hexdigest() for video in videos]
        names = [video["uri"].rpartition("/")[2] for video in videos]
        folder = [name for name in self._objects.of(job_id) if not name.startswith("input-")]
        checks = {
            f"its state is {result['state']}": result["state"] == "archived",
            f"{created} were created, {result['request_id']} was told": created == [result["request_id"]],
            "the bucket holds other bytes than the result tells": in_bucket == [video["sha256"] for video in videos],
            "the bucket holds other bytes than the provider serves": in_bucket
            == self._ledger.served(result["request_id"]),
            f"its videos are called {names}": names == [f"1-{n}.mp4" for n in range(1, len(videos) + 1)],
            "its manifest tells of other videos": manifest["videos"] == videos,
            f"its folder holds {folder}": folder == [*names, "job.json"],
        }
        return [fault for fault, is_well in checks.items() if not is_well]
