"""Signatures of callbacks as the providers make them, and the keys behind them, which can be rotated.

Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
fal: https://docs.fal.ai/model-endpoints/webhooks
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.sandbox.answers import Refusal

Kind = Literal["true", "unsigned", "stale", "wrong"]
"""The ways in which a callback is signed: rightly, not at all, ten minutes ago, or by somebody else's key."""

STALE_SECONDS = 600
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret of the sandbox's console").decode()


class Signer(Protocol):
    """One provider's way to sign."""

    def headers(self, event_id: str, request_id: str, body: bytes, at: float) -> dict[str, str]:
        """The headers that sign *body* at the Unix time *at*."""

    def stranger(self) -> Signer:
        """Somebody who signs in the same way and lacks the key."""

    def rotate(self, *, keep_old: bool) -> None:
        """Take a new key; with *keep_old*, the old one stays good beside it."""

    def reset(self) -> None:
        """Go back to the first key."""

    def told(self) -> dict[str, Any]:
        """The keys as the provider's console shows them, the newest first."""


def signed(signer: Signer | None, kind: Kind, event_id: str, request_id: str, body: bytes, at: float) -> dict[str, str]:
    """The headers of a callback of that *kind*; none where its provider does not sign."""
    if signer is None or kind == "unsigned":
        return {}
    by = signer.stranger() if kind == "wrong" else signer
    return by.headers(event_id, request_id, body, at - STALE_SECONDS if kind == "stale" else at)


class StandardSigner:
    """HMAC-SHA256 by Standard Webhooks; while a secret is rotated there is a signature by each."""

    def __init__(self, secret: str = WEBHOOK_SECRET) -> None:
        self._first = secret
        self._secrets = [secret]

    def headers(self, event_id: str, request_id: str, body: bytes, at: float) -> dict[str, str]:  # noqa: ARG002
        content = f"{event_id}.{int(at)}.".encode() + body
        return {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": " ".join(f"v1,{_hmac(secret, content)}" for secret in self._secrets),
        }

    def stranger(self) -> StandardSigner:
        return StandardSigner(_new_secret())

    def rotate(self, *, keep_old: bool) -> None:
        self._secrets = [_new_secret(), *(self._secrets[:1] if keep_old else [])]

    def reset(self) -> None:
        self._secrets = [self._first]

    def told(self) -> dict[str, Any]:
        return {"secrets": list(self._secrets)}


class FalSigner:
    """Ed25519, by the newest key of a public set."""

    def __init__(self) -> None:
        self._first = Ed25519PrivateKey.generate()
        self._keys = [self._first]
        self.is_away = False

    def headers(self, event_id: str, request_id: str, body: bytes, at: float) -> dict[str, str]:  # noqa: ARG002
        signed = [request_id, "sandbox-user", str(int(at)), hashlib.sha256(body).hexdigest()]
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": "sandbox-user",
            "X-Fal-Webhook-Timestamp": str(int(at)),
            "X-Fal-Webhook-Signature": self._keys[0].sign("\n".join(signed).encode()).hex(),
        }

    def stranger(self) -> FalSigner:
        return FalSigner()

    def rotate(self, *, keep_old: bool) -> None:
        self._keys = [Ed25519PrivateKey.generate(), *(self._keys[:1] if keep_old else [])]

    def reset(self) -> None:
        self._keys, self.is_away = [self._first], False

    def key_set(self) -> dict[str, Any]:
        """The JSON Web Key Set; raises `Refusal` while it is away."""
        if self.is_away:
            raise Refusal(503, "unavailable", "the key set is not to be had")
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "x": x} for x in self.told()["x"]]}

    def told(self) -> dict[str, Any]:
        raw = [key.public_key().public_bytes_raw() for key in self._keys]
        return {"x": [base64.urlsafe_b64encode(key).decode().rstrip("=") for key in raw]}


def _hmac(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
