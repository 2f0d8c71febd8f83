"""The videos: each becomes visible only whole, verified and under a condition that fails when the key is taken.

A video's facts stand in the object's own metadata; one sent in parts has only the job's id there, since the rest is
not known when it begins, and is read back when somebody needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from worker.bucket import client as s3
from worker.bucket.capabilities import ONLY_IF_ABSENT, TAKEN
from worker.bucket.extensions import Extensions
from worker.bucket.look import look
from worker.bucket.multipart import PART_BYTES, Multipart, exactly
from worker.bucket.objects import Objects
from worker.bucket.video_objects import film_type_of, from_metadata, metadata_of, owner, with_suffix
from worker.errors import BucketError, NotAVideoError, ObjectConflict
from worker.jobs.job import Video
from worker.video.film_type import FILM_TYPES
from worker.video.verified_stream import Content, Intake, UncheckedIntake

READ_BACK_BYTES = 1024**2
ONE_PUT_BYTES = 2 * PART_BYTES
"""Up to here one request does: parts take two more, and carry no facts of the video. Parts on their way hold more."""

UNVERIFIED_TYPE = "application/octet-stream"

Progress = Callable[[], object]
"""Called whenever something has moved, so that a step that waits is told from one that hangs."""

Publish = Callable[..., None]
"""Makes an object visible; takes the condition as keyword arguments."""


def _nothing() -> None: ...


class Videos:
    """The videos of one bucket. Threads may share it."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def key(self, job_id: str, attempt: int, n: int, accepted_at_ms: int) -> str:
        """The key of an attempt's *n*-th video if it is an MP4; others have their own suffix there."""
        return f"{self._objects.folder(job_id, accepted_at_ms)}/{int(attempt)}-{int(n)}.{FILM_TYPES[0].suffix}"

    def find_of_any_type(self, key: str, *, progress: Progress = _nothing) -> Video | None:
        """As `find`, also where the video is no MP4."""
        found = (self.find(with_suffix(key, film_type), progress=progress) for film_type in FILM_TYPES)
        return next((video for video in found if video is not None), None)

    def find(self, key: str, *, progress: Progress = _nothing) -> Video | None:
        """The video at *key*, or None; raises `ObjectConflict` when the object there is not ours.

        *progress* is called as S3 answers: an object that was sent in parts is read back.
        """
        with self._objects.in_our_words(key, "s3:GetObject, and s3:ListBucket where nothing is there,"):
            found = look(self._objects.client, self._objects.name, key)
        if found is None:
            return None
        progress()
        if found.metadata.get("job-id") != owner(key):
            raise ObjectConflict("taken", f"{self._objects.name}/{key} holds an object that is not ours")
        content = from_metadata(*found, film_type_of(key)) or self._read_back(key, progress)
        return self._video(key, content)

    def store(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        declared_bytes: int | None,
        is_end_certain: Callable[[], bool] = lambda: True,
        before_complete: Callable[[], object] = _nothing,
        progress: Progress = _nothing,
    ) -> Video:
        """Put the video that *chunks* bring at *key*, or find that the very same bytes are there already.

        A film that is no MP4 gets the suffix and the content type of its own. *is_end_certain* as for `Intake`;
        *before_complete* is called before the request that makes the object visible, and may raise; *progress* as S3
        answers.
        Raises `DownloadError` for what is not a whole video of *declared_bytes*, `ObjectConflict` when
        the key holds other bytes, `BucketError` for anything else about S3. Then nothing was stored,
        unless S3 took the last request and its answer was lost: `find` tells.
        """
        intake = Intake(chunks, declared_bytes, is_end_certain=is_end_certain)
        first = _first_buffer(declared_bytes)
        owner(key)
        filled = intake.fill(first)
        if filled:
            key = with_suffix(key, intake.film_type)
        with self._objects.in_our_words(key, "s3:PutObject"):
            if intake.is_done():
                content = intake.finish()
                of_film: Any = {"Metadata": metadata_of(key, content), "ContentType": content.film_type.content_type}
                put = partial(self._objects.put, key, exactly(first, filled), **of_film)
                return self._publish(key, content, put, self._objects.capabilities.puts, before_complete, progress)
            with self._multipart(key, ContentType=intake.film_type.content_type) as upload:
                upload.send(first, intake, progress)
                known = self._objects.capabilities.parts
                return self._publish(key, intake.finish(), upload.complete, known, before_complete, progress)

    def _publish(
        self,
        key: str,
        content: Content,
        make_visible: Publish,
        known: Extensions,
        before: Callable[[], object],
        progress: Progress,
    ) -> Video:
        """Call *make_visible* so that an object that is there already stays.

        Where the store keeps no conditions, look first; where it does not check digests either, or keeps no
        conditions, read back what the bucket really holds.
        """
        video, is_guarded = self._video(key, content), known.keeps_conditions
        found = None if is_guarded else self.find(key, progress=progress)
        if found is not None:
            return self._same(video, found, key)
        before()
        try:
            make_visible(**(ONLY_IF_ABSENT if is_guarded else {}))
        except ClientError as err:
            # our own first try may have been taken though its answer was lost
            if s3.status_of(err) != TAKEN and s3.code_of(err) != "NoSuchUpload":
                raise
            return self._same(video, self.find(key, progress=progress), key)
        return video if known.are_exact else self._same(video, self._video(key, self._read_back(key, progress)), key)

    def _same(self, video: Video, found: Video | None, key: str) -> Video:
        if found is None:
            raise BucketError(
                "conflict", f"{self._objects.name}/{key}: S3 says both that it is there and that it is not"
            )
        if found.sha256 != video.sha256:
            raise ObjectConflict(
                "taken", f"{self._objects.name}/{key} holds other bytes; they stay, ours were not stored"
            )
        return found

    def unverified_key(self, video_key: str) -> str:
        """The key of bytes that came for the video at *video_key* and cannot be checked."""
        return (
            f"{self._objects.prefix}/unverified/{video_key.removeprefix(f'{self._objects.prefix}/').rpartition('.')[0]}"
        )

    def find_unverified(self, key: str) -> str | None:
        """The URI of what is kept at *key*, or None."""
        with self._objects.in_our_words(key, "s3:GetObject, and s3:ListBucket where nothing is there,"):
            return f"s3://{self._objects.name}/{key}" if look(self._objects.client, self._objects.name, key) else None

    def store_unverified(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        declared_bytes: int | None,
        is_end_certain: Callable[[], bool] = lambda: True,
        progress: Progress = _nothing,
    ) -> str:
        """Keep what *chunks* bring at *key*, whatever it is; returns its URI. Raises as `store`.

        Nothing is kept where neither a length nor *is_end_certain* tells that all came.
        """
        intake = UncheckedIntake(chunks, declared_bytes, is_end_certain=is_end_certain)
        first = _first_buffer(declared_bytes)
        filled = intake.fill(first)
        kept: Any = {"ContentType": UNVERIFIED_TYPE, "Metadata": {"job-id": owner(key)}}
        with self._objects.in_our_words(key, "s3:PutObject"):
            if intake.is_done():
                intake.check_length()
                self._objects.put(key, exactly(first, filled), **kept)
            else:
                with self._multipart(key, **kept) as upload:
                    upload.send(first, intake, progress)
                    intake.check_length()
                    upload.complete()
        return f"s3://{self._objects.name}/{key}"

    def _multipart(self, key: str, **options: Any) -> Multipart:
        options |= {"Metadata": {"job-id": owner(key)}, **self._objects.encryption}
        return Multipart(self._objects.client, self._objects.name, key, self._objects.capabilities.parts, **options)

    def _video(self, key: str, content: Content) -> Video:
        facts = content.facts
        return Video(
            uri=f"s3://{self._objects.name}/{key}",
            bytes=content.bytes,
            sha256=content.sha256,
            seconds=facts.seconds,
            width=facts.width,
            height=facts.height,
            content_type=content.film_type.content_type,
        )

    def _read_back(self, key: str, progress: Progress) -> Content:
        """Read the object at *key* as the bucket holds it; raises `ObjectConflict` unless it is a whole video."""
        with self._objects.in_our_words(key, "s3:GetObject"):
            body = self._objects.client.get_object(Bucket=self._objects.name, Key=key)["Body"]
            with closing(body):
                try:
                    return Intake(_telling(body.iter_chunks(READ_BACK_BYTES), progress)).drain()
                except NotAVideoError as err:
                    what = f"{self._objects.name}/{key} holds an object that is no video of ours"
                    raise ObjectConflict("taken", what) from err


def _telling(chunks: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress()
        yield chunk


def _first_buffer(declared_bytes: int | None) -> bytearray:
    """Room for all that comes where one request is enough for it, else for the first part."""
    is_small = declared_bytes is not None and declared_bytes <= ONE_PUT_BYTES
    return bytearray(declared_bytes if is_small and declared_bytes else PART_BYTES)
