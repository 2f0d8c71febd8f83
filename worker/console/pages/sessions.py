"""Sessions of people at the console: a signed cookie that names a token and holds no secret.

The key of its signature is made from the token's own secret, so no other secret is kept anywhere, and a token that is
changed or taken away ends its sessions.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256

from worker.settings.tokens import Token

LIFETIME_SECONDS = 12 * 60 * 60
NONCE_BYTES = 12


def begin(token: Token, now: float) -> str:
    """The cookie's value for a new session of *token*; *now* is Unix seconds."""
    head = f"{token.name}:{int(now)}:{secrets.token_urlsafe(NONCE_BYTES)}"
    return f"{head}:{_signature(token, 'session', head)}"


def holder(tokens: Sequence[Token], cookie: str, now: float) -> Token | None:
    """The token whose session *cookie* is, if it is one of ours and not over."""
    head, _, signature = cookie.rpartition(":")
    name, _, rest = head.partition(":")
    began, _, _ = rest.partition(":")
    if not (began.isascii() and began.isdecimal() and len(began) <= 12):
        return None
    if not 0 <= now - int(began) <= LIFETIME_SECONDS:
        return None
    own = [token for token in tokens if token.name == name]
    return next((token for token in own if _is_same(signature, _signature(token, "session", head))), None)


def form_key(token: Token, cookie: str) -> str:
    """The value that each form of this session carries: another site cannot know it (CSRF)."""
    return _signature(token, "form", cookie)


def is_form_key(token: Token, cookie: str, given: str) -> bool:
    """Whether *given* came from a form of this session; compared in constant time."""
    return _is_same(given, form_key(token, cookie))


def _signature(token: Token, purpose: str, text: str) -> str:
    key = hmac.digest(token.secret.encode(), f"callsheet console {purpose}".encode(), sha256)
    return hmac.new(key, text.encode("utf-8", "replace"), sha256).hexdigest()


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
