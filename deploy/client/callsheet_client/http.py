"""Orders over HTTP, waits by long poll, fetches videos."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from callsheet_client import errors
from callsheet_client.results import Result
from callsheet_client.spec import Spec, document_of

CONNECT_SECONDS, ANSWER_SECONDS = 5, 30
LONG_POLL_SECONDS = 60
PIECE_BYTES = 1024 * 1024
AGAIN = Retry(
    total=4,
    backoff_factor=0.5,
    backoff_jitter=0.5,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,  # an order is idempotent by its job id, as all else here is
    raise_on_status=False,
)
"""Tries of a call that was not answered: a few within some ten seconds."""


class Callsheet:
    """Callsheet's HTTP API at *url*, asked with *token* (the secret of one of `CALLSHEET_API_TOKENS`).

    *ca_file*: the certificates to trust, where the console or the bucket has one of your own.
    One for a thread. Raises errors of `callsheet_client.errors` only; each call is tried again a few times where no
    answer comes, and may be made again after any error.
    """

    def __init__(
        self, url: str, token: str, *, ca_file: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._clock = clock
        self._session = requests.Session()
        self._session.verify = ca_file or True
        self._session.trust_env = False  # no .netrc and no proxy between two processes of one's own
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=AGAIN))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connections that are kept."""
        self._session.close()

    def order(self, spec: Spec | Mapping[str, Any], job_id: str | None = None) -> Result:
        """Order a video; the job, once it cannot be lost. Needs the scope `submit`.

        *job_id* (1 to 64 of A-Z, a-z, 0-9, `_`, `-`) is the idempotency key: use one that your own order has. Without
        it, one is made, and an order that ends in `Unreachable` cannot be made again as the same.
        Raises `OrderRefused`, `SpecConflict`, `AccessDenied` and `Unreachable`.
        """
        wanted = str(uuid.uuid4()) if job_id is None else job_id
        answer = self._ask("POST", "/v1/jobs", json={**document_of(spec), "job_id": wanted})
        return Result.of(_object(answer))

    def job(self, job_id: str) -> Result:
        """The job as it stands; raises `NoSuchJob`. Needs the scope `read`."""
        return Result.of(_object(self._ask("GET", _path(job_id))))

    def wait(self, job_id: str, timeout_seconds: float) -> Result:
        """Wait for the job's end; its result with its videos. Needs the scope `read`.

        Raises `JobFailed` (of an expired job, too), `JobCancelled`, `NoSuchJob`; after *timeout_seconds* `StillOpen`.
        """
        until = self._clock() + timeout_seconds
        known = self.job(job_id)
        while not known.is_final:
            left = until - self._clock()
            if left <= 0:
                raise errors.StillOpen(job_id, known.state)
            seconds = max(1, min(LONG_POLL_SECONDS, int(left)))
            headers = {"If-None-Match": f'"{known.ver}"'}
            answer = self._ask("GET", f"{_path(job_id)}?wait={seconds}", headers=headers, seconds=seconds)
            if answer.status_code != requests.codes.not_modified:
                known = Result.of(_object(answer))
        return archived(known)

    def fetch(self, job_id: str, to: str | Path, n: int = 1) -> Path:
        """Copy the job's *n*-th video, counted from 1, to the file *to*. Needs the scopes `read` and `prompts`.

        The file is there, whole and of the archived SHA-256, or not at all. Raises `NoSuchJob`, `DownloadFailed`.
        """
        videos = self.job(job_id).videos
        if not 1 <= n <= len(videos):
            raise errors.NoSuchJob(f"{job_id} has {len(videos)} videos, counted from 1")
        link = self._ask("GET", f"{_path(job_id)}/videos/{n}", allow_redirects=False).headers.get("Location", "")
        target = Path(to)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            part = Path(folder) / target.name
            try:
                digest = self._download(link, part)
            except (requests.RequestException, ValueError) as err:
                raise errors.DownloadFailed(f"the video of {job_id} did not come ({type(err).__name__})") from None
            if digest != videos[n - 1].sha256:
                raise errors.DownloadFailed(f"the video of {job_id} came damaged or cut: fetch it again")
            part.replace(target)
        return target

    def _download(self, link: str, to: Path) -> str:
        """Copy *link* to the file *to*, without the token: it is signed by itself, and leads to another host.

        Returns the SHA-256 in hex.
        """
        digest = hashlib.sha256()
        with (
            self._session.get(link, stream=True, timeout=(CONNECT_SECONDS, ANSWER_SECONDS)) as answer,
            to.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _ask(
        self, method: str, path: str, *, seconds: float = 0, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """The answer of a call that was taken; *seconds*: for how long the server may hold it."""
        try:
            answer = self._session.request(
                method,
                self._url + path,
                headers={**self._headers, **(headers or {})},
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS + seconds),
                **options,
            )
        except (requests.RequestException, ValueError) as err:
            raise errors.Unreachable(f"Callsheet did not answer ({type(err).__name__}): call again") from None
        if answer.status_code >= requests.codes.bad_request:
            raise _refusal(answer)
        return answer


def archived(known: Result) -> Result:
    """*known*, a job that has ended, if it has its videos; else raises `JobFailed` or `JobCancelled`."""
    if known.state == "cancelled":
        raise errors.JobCancelled(known.job_id)
    if known.state != "archived":
        error = known.error
        code, message, stage = (error.code, error.message, error.stage) if error else (known.state, "", "generate")
        raise errors.JobFailed(known.job_id, code, message, stage, error.provider_code if error else "")
    return known


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise errors.UnexpectedAnswer(f"an answer {answer.status_code} that is no JSON object")
    return told


def _refusal(answer: requests.Response) -> errors.CallsheetError:
    """The error that a refusal (`application/problem+json`) stands for."""
    try:
        told = _object(answer)
    except errors.UnexpectedAnswer:
        told = {}
    detail = str(told.get("detail", f"HTTP {answer.status_code}"))
    kind = str(told.get("type", "")).rpartition(":")[2]
    if kind == "spec_conflict":
        return errors.SpecConflict(detail)
    if answer.status_code in (400, 413, 415, 422):
        listed = told.get("errors") or [{"field": "", "detail": detail}]
        return errors.OrderRefused([f"{one['field']}: {one['detail']}".removeprefix(": ") for one in listed])
    if answer.status_code in (401, 403):
        return errors.AccessDenied(detail)
    if answer.status_code == 404 and kind:
        return errors.NoSuchJob(detail)
    if answer.status_code == 429 or answer.status_code >= 500:
        return errors.Unreachable(f"{detail} (HTTP {answer.status_code}): call again")
    return errors.UnexpectedAnswer(f"{detail} (HTTP {answer.status_code})")
