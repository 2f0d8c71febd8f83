"""The value that a provider is given for each image of a spec.

An `https://` URL goes as it is; an `s3://` URI is presigned, once it is known to be there. `data:` content is put in
the bucket and presigned, too: a provider that echoes or lists its requests would carry it along for ever, and not
every one still takes it. Only where the bucket has no https address does it go inline, if the provider takes that.
Presigned links live two hours: longer than any queue we have seen.
"""

from __future__ import annotations

import base64

from worker.bucket.bucket import Bucket
from worker.errors import RefusedError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.job import Job
from worker.jobs.spec import JobSpec
from worker.providers.base import Provider
from worker.providers.model import IMAGE_FIELDS

IMAGE_LINK_SECONDS = 2 * 3600


def resolve_images(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket) -> dict[str, str]:
    """The value to send for each image field of *spec*, by neutral name.

    Raises `RefusedError` (`image_missing`) for one that is not in S3 or not open to us, `BucketError` when S3 does not
    tell now.
    """
    images = {name: value for name in IMAGE_FIELDS if (value := getattr(spec, name))}
    return {name: _resolve(job, spec, provider, bucket, name, value) for name, value in images.items()}


def as_sent(job: Job, spec: JobSpec, bucket: Bucket) -> JobSpec:
    """*spec* with its inline pictures named by where `resolve_images` has put them: what a provider echoes."""
    images = {name: value for name in IMAGE_FIELDS if (value := getattr(spec, name)) and value.startswith("data:")}
    sent = {name: f"s3://{bucket.name}/{_key(job, bucket, name, value)}" for name, value in images.items()}
    return spec.model_copy(update=sent)


def _resolve(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket, name: str, value: str) -> str:
    if value.startswith("s3://"):
        why = bucket.missing(value)
        if why is not None:
            raise RefusedError(provider.name, ErrorCode.IMAGE_MISSING, f"{name}: {why}")
        return bucket.presign(value, IMAGE_LINK_SECONDS)
    if value.startswith("data:"):
        url = bucket.presign(_key(job, bucket, name, value), IMAGE_LINK_SECONDS)
        if provider.takes_data_uri(spec) and not url.startswith("https://"):
            return value
        bucket.images.put(job.id, job.accepted_at, name, base64.b64decode(value.partition(",")[2]), _type(value))
        return url
    return value


def _key(job: Job, bucket: Bucket, name: str, value: str) -> str:
    return bucket.images.key(job.id, job.accepted_at, name, _type(value))


def _type(value: str) -> str:
    """The content type of a `data:` URI."""
    return value.removeprefix("data:").partition(";")[0]
