"""The servers that somebody brings along: looked at before anything is started, faults said in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from worker.errors import LocalError, StoreError
from worker.services import open_store
from worker.settings.settings import KEY_NAMES, Settings
from worker.store import connect

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

TIMEOUT_SECONDS = 5


def check_redis(url: str) -> None:
    """Raise `LocalError` unless the Redis of CALLSHEET_REDIS_URL answers us."""
    where = _place(url)
    unset = "or unset CALLSHEET_REDIS_URL to use the embedded Valkey"
    try:
        with connect(url, timeout_seconds=TIMEOUT_SECONDS) as client:
            client.ping()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as err:
        raise LocalError(f"the Redis at {where} refuses the password of CALLSHEET_REDIS_URL: mend it, {unset}") from err
    except (redis.RedisError, StoreError) as err:
        raise LocalError(f"no Redis answers at {where} (CALLSHEET_REDIS_URL): start it, {unset}") from err


def refuse_jobs_of_others(settings: Settings, providers: Collection[str]) -> None:
    """Raise `LocalError` if jobs of *providers*, which lead to the sandbox here, are open in the Redis of *settings*.

    Our workers would take them there, and give up what a real provider has been paid for.
    """
    store = open_store(settings, timeout_seconds=TIMEOUT_SECONDS)
    jobs = store.records.outlines(job_id for _, job_id in store.due.open_ids())
    theirs = Counter(job.provider for job in jobs if job.provider in providers)
    if theirs:
        names = " and ".join(sorted(theirs))
        variables = " and ".join(f"{KEY_NAMES[name]} or {name.upper()}_BASE_URL" for name in sorted(theirs))
        raise LocalError(
            f"the Redis of CALLSHEET_REDIS_URL has {theirs.total()} open jobs of {names}, which would be taken to the "
            f"sandbox: unset CALLSHEET_REDIS_URL, name an empty Redis, or set {variables}"
        )


def check_bucket(env: Mapping[str, str]) -> None:
    """Raise `LocalError` unless the S3 of AWS_ENDPOINT_URL_S3 lets us use CALLSHEET_BUCKET."""
    url, bucket = env["AWS_ENDPOINT_URL_S3"], env.get("CALLSHEET_BUCKET", "")
    if not bucket:
        raise LocalError("AWS_ENDPOINT_URL_S3 is set, so CALLSHEET_BUCKET must name the bucket to use there")
    unset = "or unset AWS_ENDPOINT_URL_S3 to use the embedded S3"
    try:
        client = _client(env)
        client.head_bucket(Bucket=bucket)
        client.close()
    except ClientError as err:
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404:
            raise LocalError(f"there is no bucket {bucket} at {_place(url)}: create it, {unset}") from err
        raise LocalError(
            f"the bucket {bucket} at {_place(url)} is not ours to use (it answered {status}): "
            f"mend the AWS credentials or CALLSHEET_BUCKET, {unset}"
        ) from err
    except (BotoCoreError, ValueError) as err:
        reason = type(err).__name__
        raise LocalError(f"no S3 answers at {_place(url)} (AWS_ENDPOINT_URL_S3, {reason}): start it, {unset}") from err


def _client(env: Mapping[str, str]) -> S3Client:
    session = boto3.Session(
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        region_name=env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or "us-east-1",
        profile_name=env.get("AWS_PROFILE"),
    )
    return session.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        verify=env.get("AWS_CA_BUNDLE"),
        config=Config(
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
            retries={"max_attempts": 1, "mode": "standard"},
        ),
    )


def _place(url: str) -> str:
    """Host and port of *url*: the rest may hold a password."""
    return urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path
