"""What a provider is given for each image of a spec.

An `https://` URL goes as it is; an `s3://` URI is presigned; `data:` content
goes inline where the provider takes it, else it is put in the bucket and
presigned. Presigned links live two hours: longer than any queue we have seen.
"""

from __future__ import annotations

import base64

from worker.bucket.bucket import Bucket
from worker.jobs.job import Job
from worker.jobs.spec import JobSpec
from worker.providers.base import Provider

IMAGE_LINK_SECONDS = 2 * 3600


def resolve_images(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket) -> dict[str, str]:
    """The value to send for each image field of *spec*, by neutral name; raises `BucketError`."""
    images = {"first_frame": spec.first_frame, "last_frame": spec.last_frame}
    return {name: _resolve(job, spec, provider, bucket, name, value) for name, value in images.items() if value}


def _resolve(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket, name: str, value: str) -> str:
    if value.startswith("s3://"):
        return bucket.presign(value, IMAGE_LINK_SECONDS)
    if value.startswith("data:") and not provider.takes_data_uri(spec):
        head, _, body = value.partition(",")
        content_type = head.removeprefix("data:").partition(";")[0]
        key = bucket.put_image(job.id, job.accepted_at, name, base64.b64decode(body), content_type)
        return bucket.presign(key, IMAGE_LINK_SECONDS)
    return value
