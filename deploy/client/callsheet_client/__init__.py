"""Order videos from Callsheet, wait for them, fetch them, and verify its notifications."""

from callsheet_client.codes import ErrorCode
from callsheet_client.errors import (
    AccessDenied,
    CallsheetError,
    DownloadFailed,
    JobCancelled,
    JobFailed,
    NoSuchJob,
    NotificationInvalid,
    OrderRefused,
    SpecConflict,
    StillOpen,
    UnexpectedAnswer,
    Unreachable,
)
from callsheet_client.http import Callsheet
from callsheet_client.notifications import Notification, verify_notification
from callsheet_client.results import Failure, Result, Video
from callsheet_client.signatures import signature
from callsheet_client.spec import Shot, Spec

__all__ = [
    "AccessDenied",
    "Callsheet",
    "CallsheetError",
    "DownloadFailed",
    "ErrorCode",
    "Failure",
    "JobCancelled",
    "JobFailed",
    "NoSuchJob",
    "Notification",
    "NotificationInvalid",
    "OrderRefused",
    "Result",
    "Shot",
    "Spec",
    "SpecConflict",
    "StillOpen",
    "UnexpectedAnswer",
    "Unreachable",
    "Video",
    "signature",
    "verify_notification",
]
