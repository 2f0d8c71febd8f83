"""Every error Callsheet raises on purpose, in one tree.

CallsheetError
├── SettingsError            the environment is wrong; lists every bad variable
├── SpecError                the spec cannot be made by the model; lists every problem
├── SpecConflict             the job id already belongs to another spec
├── NoSuchJobError           there is no job of that id
├── JobFailed                the job ended without a video (what AsyncResult raises)
├── StoreError               Redis refused or did not answer
│   ├── NotDurableError      Redis answered, but could not make the write durable
│   ├── UnknownLayoutError   the record has a layout that this Callsheet does not know
│   └── LeaseLostError       another process may be acting on the job now
├── ResultError              Celery's result backend did not take a result; it stays owed
├── BrokerError              the broker did not take a message; the jobs it names stay due
├── ProviderError            a provider's API said no, or said nothing usable
│   ├── NotTakenError        surely not taken: the same POST may be tried again
│   ├── RefusedError         surely not taken, and trying again will not help
│   ├── UnconfirmedError     the POST may have been taken: never repeat it
│   ├── NoSuchRequestError   the provider does not know the request id (yet, or any more)
│   └── NoRoomError          it was not asked: its limits, as we keep them, hold us back for now
├── CallbackError            a delivery that is not a callback of ours
│   ├── ForgedCallbackError        its signature does not hold, or is missing where there must be one
│   └── UnverifiableCallbackError  whether its signature holds cannot be told now: let it come again
├── DownloadError            the video could not be fetched through the guard
│   ├── LinkDeadError        the link is gone: ask the provider for a fresh one
│   ├── SlowDownloadError    the link is good, and others wait for the place
│   └── NotAVideoError       what came is not a whole MP4
├── ManifestError            a job.json in the bucket is not one that we wrote
├── BucketError              S3 refused or did not answer
│   └── ObjectConflict       the key holds other bytes than ours
└── LocalError               the system on this machine could not be started

A message says what happened, to which job, and what to do. It never holds a
token, key, prompt or signed URL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class CallsheetError(Exception):
    """The root of the tree; `str()` of any of them is one line fit for an operator."""


class SettingsError(CallsheetError):
    """The environment cannot be used as it is; names every bad variable at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("settings: " + "; ".join(problems))
        self.problems = tuple(problems)


class SpecError(CallsheetError):
    """The spec cannot be made; names every bad field with its limit and the model."""

    def __init__(self, problems: Sequence[str], *, unread: Collection[str] | None = None) -> None:
        """With *unread*, the names of fields that were given but could not be read; None: no field was read."""
        super().__init__("spec refused: " + "; ".join(problems))
        self.problems = tuple(problems)
        self.unread = unread


class SpecConflict(CallsheetError):
    """The job id is taken by a job with another spec; that job is untouched."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} already exists with another spec; use a new id, or send the same spec")
        self.job_id = job_id


class NoSuchJobError(CallsheetError):
    """There is no job of that id, nor can there be one of an id that is none."""


class JobFailed(CallsheetError):
    """The error that `AsyncResult.get()` raises: positional JSON arguments, so that Celery can rebuild it."""

    def __init__(self, code: str, message: str = "", stage: str = "") -> None:
        super().__init__(code, message, stage)
        self.code = code
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.stage} failed ({self.code}): {self.message}"


class StoreError(CallsheetError):
    """Redis refused or did not answer; nothing is known about the last write."""


class NotDurableError(StoreError):
    """Redis took the write but did not confirm it is on disk; do not act on it."""


class UnknownLayoutError(StoreError):
    """The record is of a newer layout than this process reads: it is left to those that know it."""


class BrokerError(CallsheetError):
    """The broker did not take a message. Nothing is lost: the jobs it names stay due."""


class LeaseLostError(StoreError):
    """Another process may be acting on this job now: stop without a trace."""


class ResultError(CallsheetError):
    """Celery's result backend did not take a job's result; it stays owed and is written again."""


class ProviderError(CallsheetError):
    """A provider's API said no, or said nothing usable.

    `code` is ours, never free text; `provider_code` the provider's own short word, if it gave one;
    `detail` says what happened in the provider's own words, cleaned; `retry_after` is seconds, and None
    means the provider named no time; `status` is the HTTP status of the answer that counts, None where
    there was none.
    """

    def __init__(
        self,
        provider: str,
        code: str,
        detail: str,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        provider_code: str = "",
    ) -> None:
        super().__init__(f"{provider}: {code}: {detail}")
        self.provider = provider
        self.code = code
        self.provider_code = provider_code
        self.detail = detail
        self.retry_after = retry_after
        self.status = status


class NotTakenError(ProviderError):
    """The provider has surely not taken the request: it may be sent again later."""


class RefusedError(ProviderError):
    """The provider has surely not taken the request and would refuse it again."""


class UnconfirmedError(ProviderError):
    """The provider may have taken the request: it must never be sent again on our own."""


class NoSuchRequestError(ProviderError):
    """The provider does not know the request id: too new to be shown, or gone."""


class NoRoomError(ProviderError):
    """The provider was not asked: its limits, as we keep them, hold the request back for now."""


class CallbackError(CallsheetError):
    """A delivery that is not a well-formed callback; `reason` is a short word for counters."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"callback refused ({reason}): {detail}")
        self.reason = reason


class ForgedCallbackError(CallbackError):
    """A delivery whose signature does not hold over its bytes, or is missing where the provider signs."""


class UnverifiableCallbackError(CallbackError):
    """A delivery whose signature cannot be judged now, as the provider's keys are not to be had."""


class DownloadError(CallsheetError):
    """The video could not be fetched; `reason` is a short word, the URL is never in the text."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"download failed ({reason}): {detail}")
        self.reason = reason
        self.detail = detail


class LinkDeadError(DownloadError):
    """The provider no longer serves this link (403, 404, 410): a fresh one is needed."""


class SlowDownloadError(DownloadError):
    """The download was cut to make room for others; it is begun anew in a place that may be held for longer."""


class NotAVideoError(DownloadError):
    """The bytes are not a whole film with a video track.

    `reason` is one of

        picture     a still image: certainly no film
        page        HTML, JSON, a playlist, text: no film now, though a page about an error may give way to one
        no_video    sound, or a film without a video track: certainly no film
        unchecked   a film perhaps, of a kind that is not checked here (GIF, MPEG-TS, unknown bytes) or beyond the
                    bounds of what is
        truncated, corrupt    a film that is cut or damaged

    The detail names the kind.
    """


class ManifestError(CallsheetError):
    """A `job.json` in the bucket cannot be read as a manifest of ours."""


class BucketError(CallsheetError):
    """S3 refused or did not answer; `reason` is a short word. Names bucket and key, never credentials."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"bucket: {detail}")
        self.reason = reason


class ObjectConflict(BucketError):
    """The key holds bytes that are not ours; they are never replaced."""


class LocalError(CallsheetError):
    """A part of the local system could not be started or used; says what to do."""
