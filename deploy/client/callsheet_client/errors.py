"""Every error of this package, in one tree.

CallsheetError
├── OrderRefused         the spec cannot be made; lists every problem
├── SpecConflict         the job id already belongs to another spec
├── AccessDenied         the token is not known, or lacks a scope
├── NoSuchJob            there is no job of that id, or no such video of it
├── Unreachable          Callsheet did not answer, or could not: the same call again is safe
├── UnexpectedAnswer     an answer that this package does not know
├── StillOpen            the job did not end in the time given; it goes on
├── JobFailed            the job ended without a video; `code` is an `ErrorCode`
├── JobCancelled         the job was cancelled
├── DownloadFailed       the bytes that came are not the video that was archived
└── NotificationInvalid  a notification that must not be believed
"""

from __future__ import annotations

from collections.abc import Sequence


class CallsheetError(Exception):
    """The root of the tree; `str()` of any of them is one line without a secret."""


class OrderRefused(CallsheetError):
    """The spec cannot be made: nothing was recorded or paid. *problems*: each names a field and its limit."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("order refused: " + "; ".join(problems))
        self.problems = tuple(problems)


class SpecConflict(CallsheetError):
    """The job id is taken by a job with another spec, which is untouched."""


class AccessDenied(CallsheetError):
    """The token is not known, or lacks the scope that the message names."""


class NoSuchJob(CallsheetError):
    """There is no job of that id, or it has no such video."""


class Unreachable(CallsheetError):
    """No usable answer came, so it is not known what the call did. The same call again, with the same id, is safe."""


class UnexpectedAnswer(CallsheetError):
    """An answer that this package does not know: another server, or a newer one."""


class StillOpen(CallsheetError):
    """The job did not end in the time given. It goes on: wait again, or have it told by a notification."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is still {state}: it goes on; wait again with the same id")
        self.job_id, self.state = job_id, state


class JobFailed(CallsheetError):
    """The job ended without a video. *code* is an `ErrorCode`, or a newer server's own word."""

    def __init__(self, job_id: str, code: str, message: str, stage: str, provider_code: str = "") -> None:
        super().__init__(f"job {job_id}: {stage} failed ({code}): {message}")
        self.job_id, self.code, self.message, self.stage = job_id, code, message, stage
        self.provider_code = provider_code


class JobCancelled(CallsheetError):
    """The job was cancelled before a provider took it."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} was cancelled")
        self.job_id = job_id


class DownloadFailed(CallsheetError):
    """The bytes that came are not the video that was archived; nothing was left in its place."""


class NotificationInvalid(CallsheetError):
    """A notification that must not be believed: answer 4xx and do nothing."""
