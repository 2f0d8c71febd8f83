"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), by the library that receivers use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def message_id(job_id: str, ver: int) -> str:
    """The `webhook-id` of the notification of that version of the job: the same over all tries."""
    return f"{job_id}.{ver}"


def headers(secrets: Sequence[str], webhook_id: str, at_seconds: float, content: str) -> dict[str, str]:
    """The three headers, with one `v1` signature for each of *secrets* (`whsec_...`); *at_seconds* is Unix time."""
    at = datetime.fromtimestamp(int(at_seconds), UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at_seconds)),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, at, content) for secret in secrets),
    }


def problem(secrets: Sequence[str], given: Mapping[str, str], content: bytes) -> str | None:
    """Why a receiver that holds *secrets* must refuse *content* with the headers *given*; None where it is genuine."""
    why = "there is no secret to verify it with"
    for secret in secrets:
        try:
            Webhook(secret).verify(content, dict(given), json_parse=False)
        except WebhookVerificationError as err:
            why = str(err)
        except ValueError:  # a header that cannot be read
            why = "its headers cannot be read"
        else:
            return None
    return why
