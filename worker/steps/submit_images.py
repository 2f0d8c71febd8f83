"""The value that a provider is given for each picture and reference of a spec.

An `https://` URL goes as it is; an `s3://` URI is presigned, once it is known to be there. `data:` content is put in
the bucket and presigned, too: a provider that echoes or lists its requests would carry it along for ever, and not
every one still takes it. Only where the bucket has no https address does it go inline, if the provider takes that.
Presigned links live two hours: longer than any queue we have seen. Each bears our name for the request: a provider that
echoes what it was sent, in its list say, thereby tells exactly whose a request is.
"""

from __future__ import annotations

import base64

from worker.bucket.bucket import Bucket
from worker.errors import RefusedError
from worker.jobs.error_codes import ErrorCode
from worker.jobs.images import marked_name
from worker.jobs.job import Job
from worker.jobs.spec import JobSpec
from worker.providers.base import Provider
from worker.providers.model import IMAGE_FIELDS, LINK_LISTS

IMAGE_LINK_SECONDS = 2 * 3600


def resolve_images(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket) -> dict[str, str]:
    """The value to send for each picture and reference of *spec*, by neutral name; in a list `reference_images[0]`.

    Raises `RefusedError` (`image_missing`) for one that is not in S3 or not open to us, `BucketError` when S3 does not
    tell now.
    """
    return {name: _resolve(job, spec, provider, bucket, name, value) for name, value in links_of(spec).items()}


def links_of(spec: JobSpec) -> dict[str, str]:
    """The pictures and references of *spec*, by the same names."""
    single = {name: value for name in IMAGE_FIELDS if (value := getattr(spec, name))}
    lists = {name: getattr(spec, name) or () for name in LINK_LISTS}
    listed = {f"{name}[{number}]": value for name, values in lists.items() for number, value in enumerate(values)}
    return {**single, **listed}


def as_sent(job: Job, spec: JobSpec, bucket: Bucket) -> JobSpec:
    """*spec* with its inline pictures named by where `resolve_images` has put them: what a provider echoes."""

    def sent(name: str, value: str) -> str:
        return f"s3://{bucket.name}/{_key(job, bucket, name, value)}" if value.startswith("data:") else value

    single = {name: sent(name, value) for name in IMAGE_FIELDS if (value := getattr(spec, name))}
    lists = {
        name: tuple(sent(f"{name}[{number}]", value) for number, value in enumerate(values))
        for name in LINK_LISTS
        if (values := getattr(spec, name))
    }
    return spec.model_copy(update={**single, **lists})


def _resolve(job: Job, spec: JobSpec, provider: Provider, bucket: Bucket, name: str, value: str) -> str:
    if value.startswith("s3://"):
        why = bucket.missing(value)
        if why is not None:
            raise RefusedError(provider.name, ErrorCode.IMAGE_MISSING, f"{name}: {why}")
        return bucket.presign(value, IMAGE_LINK_SECONDS, shown_as=marked_name(job.reference))
    if value.startswith("data:"):
        shown_as = marked_name(job.reference)
        url = bucket.presign(_key(job, bucket, name, value), IMAGE_LINK_SECONDS, shown_as=shown_as)
        if provider.takes_data_uri(spec) and not url.startswith("https://"):
            return value
        content = base64.b64decode(value.partition(",")[2])
        bucket.images.put(job.id, job.accepted_at, _file(name), content, _type(value))
        return url
    return value


def _key(job: Job, bucket: Bucket, name: str, value: str) -> str:
    return bucket.images.key(job.id, job.accepted_at, _file(name), _type(value))


def _file(name: str) -> str:
    """A field's name as it stands in a key: `reference_images-1` for `reference_images[1]`."""
    return name.replace("[", "-").removesuffix("]")


def _type(value: str) -> str:
    """The content type of a `data:` URI."""
    return value.removeprefix("data:").partition(";")[0]
