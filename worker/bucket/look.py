"""Metadata and length of the object at a key, in the way that the store gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from worker.bucket import client as s3

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

NOT_FOUND = 404
OF_ANOTHER_WAY = (400, 403, 405, 501)
"""Answers to a HEAD after which a GET is asked: they have no body, and with it not S3's own code."""


class Found(NamedTuple):
    """An object."""

    metadata: Mapping[str, str]
    length: int


def look(client: S3Client, bucket: str, key: str) -> Found | None:
    """The object at *key*, or None; raises `ClientError` with S3's own code.

    Some stores and policies deny HEAD and allow GET, of which then no more than the head is read.
    """
    where: Any = {"Bucket": bucket, "Key": key}
    try:
        head = client.head_object(**where)
        return Found(head.get("Metadata", {}), head["ContentLength"])
    except ClientError as err:
        if s3.status_of(err) == NOT_FOUND:
            return None
        if s3.status_of(err) not in OF_ANOTHER_WAY:
            raise
    try:
        answer = client.get_object(**where)
    except ClientError as err:
        if s3.status_of(err) == NOT_FOUND and s3.code_of(err) != "NoSuchBucket":
            return None
        raise
    answer["Body"].close()
    return Found(answer.get("Metadata", {}), answer["ContentLength"])
