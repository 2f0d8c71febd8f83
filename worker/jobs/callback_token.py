"""Callback URL of one attempt, and the HMAC token that proves its sender was given the URL.

The token is an HMAC over provider, job id and attempt, so it is worthless for
any other. It proves only that somebody was given the URL (design section 2,
"Confirming"): what arrives there says when to ask, never what is true.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

PURPOSE = "callsheet.callback.v1"
"""Keeps these tokens apart from anything else that is ever signed with the same secrets."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token(secret: str, provider: str, job_id: str, attempt: int) -> str:
    """The token of one attempt: base64url of HMAC-SHA256, 43 characters, no padding.

    The parts hold no newline (a provider is a name of ours, a job id matches
    `jobs.JOB_ID`), so no two attempts share an input.
    """
    text = "\n".join((PURPOSE, provider, job_id, str(attempt)))
    return urlsafe_b64encode(hmac.digest(secret.encode(), text.encode(), sha256)).rstrip(b"=").decode()


def callback_url(public_url: str, secrets: Sequence[str], provider: str, job_id: str, attempt: int) -> str:
    """The URL to tell *provider* for this attempt, signed with the first of *secrets*."""
    return f"{public_url}/callbacks/{provider}/{job_id}/{attempt}/{token(secrets[0], provider, job_id, attempt)}"


def is_valid(candidate: str, secrets: Sequence[str], provider: str, job_id: str, attempt: int) -> bool:
    """Whether *candidate* is this attempt's token under any live secret.

    Takes the same time whichever secret signed it and however much of it is
    right. False for any text that is no token; raises nothing.
    """
    if not TOKEN.fullmatch(candidate):
        return False
    valid = False
    for secret in secrets:
        valid |= hmac.compare_digest(candidate, token(secret, provider, job_id, attempt))
    return valid
