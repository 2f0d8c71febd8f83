"""Signatures of callbacks: whether the raw bytes of a delivery are the provider's own.

A delivery that holds is believed at once. Each verifier raises `ForgedCallbackError` for one that does not, and
`UnverifiableCallbackError` while that cannot be told, so that it comes again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook

from worker.errors import DownloadError, ForgedCallbackError, UnverifiableCallbackError
from worker.guard.bounded_json import UnreadableError, read_tolerantly

TOLERANCE_SECONDS = 300
"""The most that a delivery's timestamp may be off, to either side: what both specifications ask for."""

SIGNATURES = 16
"""Signatures of one header that are tried; a rotation of secrets sends two."""

KEY_SET_SECONDS = 24 * 60 * 60.0
"""The life of a fetched key set: docs.fal.ai/model-endpoints/webhooks."""
REFETCH_SECONDS = 60.0
"""The least time between two fetches, so that forged deliveries cannot make many."""

_EVENT_ID = re.compile(r"[!-~]{1,200}")
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,10}")


class Verifier(Protocol):
    """A check of one provider's signatures."""

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the id of the event that *body*, as its bytes came, was signed with; *headers* without regard to case.

        The id is the same whenever the event is delivered again. Raises `ForgedCallbackError`, also where the
        signature is missing, and `UnverifiableCallbackError`.
        """


class StandardWebhooks:
    """Signatures of the Standard Webhooks specification (https://www.standardwebhooks.com), version `v1`.

    Any of *secrets* (`whsec_...`) will do: while one is rotated there are two.
    """

    def __init__(self, secrets: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        self._signers = [Webhook(secret) for secret in secrets]
        self._now = now

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        event_id = _event_id(_header(headers, "webhook-id"))
        at = _timestamp(_header(headers, "webhook-timestamp"), self._now())
        given = [_of_version_1(entry) for entry in _header(headers, "webhook-signature").split()[:SIGNATURES]]
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise ForgedCallbackError("body", "its body is not UTF-8") from None
        moment = datetime.fromtimestamp(at, UTC)
        for signer in self._signers:
            expected = signer.sign(event_id, moment, text).partition(",")[2].encode()
            if any(hmac.compare_digest(expected, entry) for entry in given):
                return event_id
        raise ForgedCallbackError("signature", "no signature in it is by one of our secrets")


class Fal:
    """fal's signatures: Ed25519 by any key of its published set (https://docs.fal.ai/model-endpoints/webhooks).

    Signed are, a line each, request id, user id, timestamp and the SHA-256 of the body in hexadecimal digits.
    """

    def __init__(self, keys: KeySet, *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._now = now

    def verify(self, headers: Mapping[str, str], body: bytes) -> str:
        request_id = _event_id(_header(headers, "x-fal-webhook-request-id"))
        user_id = _header(headers, "x-fal-webhook-user-id")
        at = _header(headers, "x-fal-webhook-timestamp")
        _timestamp(at, self._now())
        try:
            signature = bytes.fromhex(_header(headers, "x-fal-webhook-signature"))
        except ValueError:
            raise ForgedCallbackError("signature", "its signature is not hexadecimal") from None
        message = "\n".join((request_id, user_id, at, hashlib.sha256(body).hexdigest())).encode()
        if not self._keys.holds(signature, message):
            raise ForgedCallbackError("signature", "its signature is by none of fal's keys")
        return request_id


class KeySet:
    """The Ed25519 keys of a JSON Web Key Set (RFC 7517, 8037), fetched when they are needed; threads may share it.

    *fetch* returns the document and raises `DownloadError`; *monotonic* counts seconds. Keys are kept for a day, and
    fetched anew for a signature that is by none of them, at most once a minute.
    """

    def __init__(self, fetch: Callable[[], bytes], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: tuple[Ed25519PublicKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._trouble = ""

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether *signature* over *message* is by a key of the set; raises `UnverifiableCallbackError`."""
        if self._is_fresh() and self._is_signed(signature, message):
            return True
        with self._lock:  # the others wait for the one fetch
            if self._is_fresh() and self._is_signed(signature, message):
                return True
            if _is_older(self._tried_at, self._monotonic(), REFETCH_SECONDS):
                self._refetch()
        if self._trouble:
            raise UnverifiableCallbackError("keys", f"the key set could not be had: {self._trouble}")
        return self._is_signed(signature, message)

    def _is_fresh(self) -> bool:
        return not _is_older(self._fetched_at, self._monotonic(), KEY_SET_SECONDS)

    def _is_signed(self, signature: bytes, message: bytes) -> bool:
        return any(_is_by(key, signature, message) for key in self._keys)

    def _refetch(self) -> None:
        self._tried_at = self._monotonic()
        try:
            self._keys = _ed25519_keys(self._fetch())
        except DownloadError as err:
            self._trouble = err.reason
        except (UnreadableError, jwt.PyJWTError):
            self._trouble = "unreadable"
        else:
            self._trouble, self._fetched_at = "", self._tried_at


def _ed25519_keys(document: bytes) -> tuple[Ed25519PublicKey, ...]:
    found = [entry.key for entry in jwt.PyJWKSet.from_dict(dict(read_tolerantly(document))).keys]
    keys = tuple(key for key in found if isinstance(key, Ed25519PublicKey))
    if not keys:
        raise UnreadableError("the key set holds no Ed25519 key")
    return keys


def _is_by(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _is_older(since: float | None, now: float, seconds: float) -> bool:
    return since is None or now - since >= seconds


def _header(headers: Mapping[str, str], name: str) -> str:
    value = next((value for key, value in headers.items() if key.lower() == name), "")
    if not value:
        raise ForgedCallbackError("unsigned", f"it has no {name}")
    return value


def _event_id(text: str) -> str:
    if not _EVENT_ID.fullmatch(text):
        raise ForgedCallbackError("event_id", "its event id is not printable ASCII of at most 200 characters")
    return text


def _timestamp(text: str, now: float) -> int:
    """The Unix seconds of a timestamp that is near enough to *now*."""
    if not _TIMESTAMP.fullmatch(text):
        raise ForgedCallbackError("timestamp", "its timestamp is not Unix seconds")
    if abs(now - int(text)) > TOLERANCE_SECONDS:
        raise ForgedCallbackError("timestamp", f"its timestamp is over {TOLERANCE_SECONDS} s from our clock")
    return int(text)


def _of_version_1(entry: str) -> bytes:
    """The signature in one `v1,<base64>`, written as the library writes it; empty for another version."""
    version, _, text = entry.partition(",")
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)) if version == "v1" else b""
    except (binascii.Error, ValueError):
        return b""
