"""Notifications, verified by the Standard Webhooks scheme (https://www.standardwebhooks.com)."""

from __future__ import annotations

import binascii
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from callsheet_client.errors import NotificationInvalid, UnexpectedAnswer
from callsheet_client.results import Result

TOLERANCE_SECONDS = 300
"""A signature that is older or newer than this may be a recorded one that somebody sends again."""


@dataclass(frozen=True)
class Notification:
    """The end of a job. *webhook_id* is the same over all tries of one notification: drop one that you have had.

    A late video is a new notification with a greater `result.ver`: keep the greatest.
    """

    webhook_id: str
    type: str  # job.archived, job.failed, job.expired, job.cancelled
    timestamp: str  # RFC 3339
    result: Result


def verify_notification(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, *, now: float | None = None
) -> Notification:
    """The notification *body* with *headers*, if one of *secrets* (`whsec_...`) has signed it.

    *body* are the bytes as they came. *now*: Unix seconds, this machine's clock by default.
    Raises `NotificationInvalid`, and `ValueError` for a secret that is none.
    """
    keys = [_key(secret) for secret in secrets]
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, at, signatures = (given[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        age = (time.time() if now is None else now) - int(at)
    except (KeyError, ValueError):
        raise NotificationInvalid("it lacks webhook-id, webhook-timestamp or webhook-signature") from None
    if abs(age) > TOLERANCE_SECONDS:
        raise NotificationInvalid(f"its timestamp is {abs(age):.0f} s off this machine's clock")
    signed = f"{webhook_id}.{at}.".encode() + body
    offered = [word.removeprefix("v1,").encode() for word in signatures.split() if word.startswith("v1,")]
    genuine = [hmac.compare_digest(b64encode(hmac.digest(key, signed, sha256)), one) for key in keys for one in offered]
    if not any(genuine):
        raise NotificationInvalid("no signature of it is that of a secret given")
    try:
        told = json.loads(body)
        return Notification(webhook_id, told["type"], told["timestamp"], Result.of(told["data"]))
    except (ValueError, KeyError, TypeError, AttributeError, UnexpectedAnswer):
        raise NotificationInvalid("it is genuine, but not of a kind that this package knows") from None


def _key(secret: str) -> bytes:
    try:
        return b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a notification secret is whsec_ and base64") from None
