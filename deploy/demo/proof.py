"""Prove that a video is really there: fetch it back from S3 and compare it with all that was said of it."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.sandbox.client import ControlError, SandboxControl
from worker.errors import LocalError, NotAVideoError
from worker.video.facts import VideoFacts
from worker.video.film import FilmWalk

PIECE_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 10


class Ledger:
    """The videos that the sandbox made, as it records and serves them."""

    def __init__(self, base_url: str, ca_file: Path) -> None:
        trust = ssl.create_default_context(cafile=str(ca_file))
        self._pool = urllib3.PoolManager(ssl_context=trust, retries=False, timeout=TIMEOUT_SECONDS)
        try:
            self.made = {request["request_id"]: request for request in SandboxControl(base_url, ca_file).requests()}
        except (urllib3.exceptions.HTTPError, ControlError) as err:
            raise LocalError(f"the sandbox did not say what it made ({type(err).__name__})") from err

    def served_sha256(self, link: str) -> str:
        """The digest of what *link* gives to anybody."""
        answer = self._pool.request("GET", link, preload_content=False)
        digest = hashlib.sha256()
        for piece in answer.stream(PIECE_BYTES):
            digest.update(piece)
        return digest.hexdigest()


@dataclass(frozen=True)
class Seen:
    """One video as it came back from the bucket."""

    bytes: int
    sha256: str
    facts: VideoFacts


class Prover:
    """Fetches results' videos back from S3 into *directory*."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self._directory = directory
        self._ledger = ledger
        self._s3 = boto3.client("s3", config=Config(connect_timeout=TIMEOUT_SECONDS, retries={"mode": "standard"}))

    def problems(self, name: str, result: Mapping[str, Any]) -> list[str]:
        """Save the videos of *result* as `<name>.mp4`; return their faults in words."""
        made = self._ledger.made.get(str(result["request_id"]))
        if made is None:
            return [f"the sandbox knows no request {result['request_id']}"]
        links, videos = made["links"], result["videos"]
        if len(links) != len(videos):
            return [f"the sandbox made {len(links)} videos, the result has {len(videos)}"]
        found: list[str] = []
        for n, (link, video) in enumerate(zip(links, videos, strict=True), 1):
            file = self._directory / (f"{name}.mp4" if len(videos) == 1 else f"{name}-{n}.mp4")
            found += self._compared(file, video, link, made["video"])
        return found

    def _compared(self, file: Path, told: Mapping[str, Any], link: str, made: Mapping[str, Any]) -> Iterator[str]:
        try:
            seen = self._fetch(told["uri"], file)
            served_sha256 = self._ledger.served_sha256(link)
        except urllib3.exceptions.HTTPError as err:
            yield f"the sandbox did not serve the video again ({type(err).__name__})"
            return
        except (BotoCoreError, ClientError, NotAVideoError) as err:
            yield f"{told['uri']} is not a whole video in the bucket: {err}"
            return
        if seen.sha256 != told["sha256"] or seen.bytes != told["bytes"]:
            yield f"{told['uri']} holds other bytes than the result says"
        if seen.sha256 != served_sha256:
            yield f"{told['uri']} holds other bytes than the provider serves"
        for what in ("seconds", "width", "height"):
            has = getattr(seen.facts, what)
            if abs(has - told[what]) > 0.05 or abs(has - made[what]) > 0.05:
                yield f"{what}: the video has {has:g}, the result says {told[what]:g}, the provider made {made[what]:g}"

    def _fetch(self, uri: str, file: Path) -> Seen:
        place = urlsplit(uri)
        body = self._s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
        digest, walk, count = hashlib.sha256(), FilmWalk(), 0
        with closing(body), file.open("wb") as copy:
            for piece in body.iter_chunks(PIECE_BYTES):
                copy.write(piece)
                digest.update(piece)
                walk.feed(piece)
                count += len(piece)
        return Seen(count, digest.hexdigest(), walk.finish())
