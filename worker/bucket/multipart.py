"""Sending an object in parts, two at a time, from buffers that are used again."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from worker.bucket.extensions import Digest, Extensions
from worker.errors import BucketError
from worker.video.verified_stream import Intake

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

log = logging.getLogger(__name__)

PART_BYTES = 6 * 1024**2
"""A copy holds up to three of these, so eight copies stay below 200 MB. S3 takes 10,000 parts of 5 MiB or more."""

MOST_IN_FLIGHT = 2


class Multipart:
    """One multipart upload. Leaving the `with` block without `complete` takes every trace of it away."""

    def __init__(self, client: S3Client, bucket: str, key: str, extensions: Extensions, **options: Any) -> None:
        self._client = client
        self._extensions = extensions
        self._where: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._options = options
        self._parts: list[CompletedPartTypeDef] = []
        self._spare: list[bytearray] = []
        self._in_flight: deque[Future[tuple[CompletedPartTypeDef, bytearray]]] = deque()
        self._is_complete = False

    def __enter__(self) -> Self:
        checked: Any = {"ChecksumAlgorithm": "SHA256"} if self._extensions.digest is Digest.SHA256 else {}
        begun = self._client.create_multipart_upload(**self._where, **self._options, **checked)
        self._where["UploadId"] = begun["UploadId"]
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT, thread_name_prefix="upload")
        return self

    def __exit__(self, *_: object) -> None:
        # parts that are still under way would outlive an abort
        self._pool.shutdown(cancel_futures=True)
        if not self._is_complete:
            self._abort()

    def send(self, buffer: bytearray, intake: Intake, progress: Callable[[], object] = lambda: None) -> None:
        """Send the filled *buffer*, then all that *intake* still brings; *progress* is called after each part."""
        self._submit(buffer, len(buffer))
        while not intake.is_done():
            buffer = self._buffer()
            progress()
            self._submit(buffer, intake.fill(buffer))
        while self._in_flight:
            self._settle_oldest()
            progress()

    def complete(self, **condition: Any) -> None:
        """Make the object visible; may raise `ClientError` with 412 under *condition*."""
        self._client.complete_multipart_upload(
            **self._where,
            MultipartUpload={"Parts": self._parts},
            **condition,
        )
        self._is_complete = True

    def _buffer(self) -> bytearray:
        """One more buffer, once no more than enough parts are under way."""
        if len(self._in_flight) == MOST_IN_FLIGHT:
            self._settle_oldest()
        return self._spare.pop() if self._spare else bytearray(PART_BYTES)

    def _submit(self, buffer: bytearray, filled: int) -> None:
        number = len(self._parts) + len(self._in_flight) + 1
        self._in_flight.append(self._pool.submit(self._upload, number, buffer, filled))

    def _settle_oldest(self) -> None:
        part, buffer = self._in_flight.popleft().result()
        self._parts.append(part)
        self._spare.append(buffer)

    def _upload(self, number: int, buffer: bytearray, filled: int) -> tuple[CompletedPartTypeDef, bytearray]:
        content = self._extensions.digest.sent_with(exactly(buffer, filled))
        return self.send_part(number, content), buffer

    def send_part(self, number: int, content: Mapping[str, Any]) -> CompletedPartTypeDef:
        """Send one part; returns how it is named at the end."""
        etag = self._client.upload_part(**self._where, PartNumber=number, **content).get("ETag") or self._etag(number)
        part: CompletedPartTypeDef = {"PartNumber": number, "ETag": etag}
        if self._extensions.names_digests and "ChecksumSHA256" in content:
            part["ChecksumSHA256"] = content["ChecksumSHA256"]
        return part

    def send_whole(self, content: bytes) -> None:
        """Send *content* as the only part."""
        self._parts.append(self.send_part(1, self._extensions.digest.sent_with(content)))

    def _etag(self, number: int) -> str:
        """The ETag of a part, where the store did not tell it when the part came (or a proxy took the header)."""
        listed = self._client.list_parts(**self._where, PartNumberMarker=number - 1, MaxParts=1).get("Parts", [])
        etags = [part["ETag"] for part in listed if part.get("PartNumber") == number and part.get("ETag")]
        if not etags:
            raise BucketError("refused", f"{self._where['Bucket']}/{self._where['Key']}: S3 names no ETag of a part")
        return etags[0]

    def _abort(self) -> None:
        """Best effort: a bucket's lifecycle rule takes what is left behind when S3 is away."""
        try:
            self._client.abort_multipart_upload(**self._where)
        except (ClientError, BotoCoreError) as err:
            log.warning("upload.left_behind", extra={"key": self._where["Key"], "reason": type(err).__name__})


def exactly(buffer: bytearray, filled: int) -> bytearray:
    """The first *filled* bytes of *buffer*, copied only when there are more."""
    return buffer if filled == len(buffer) else buffer[:filled]
