"""Signatures of orders, for brokers that others can write to (`CALLSHEET_MESSAGE_SECRETS`)."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

HEADER = "callsheet_signature"
LEAST, MOST = 1e-4, 1e16
"""Between these every language writes a fraction alike."""


def signature(secret: str, job_id: str, spec: Mapping[str, Any], canvas: Mapping[str, Any] | None = None) -> str:
    """The header `callsheet_signature` of the order *job_id*; *canvas*: `callbacks`, `chain`, `chord` (and then
    `group`) and `errbacks` of the message, as JSON holds them.

    Raises `ValueError` for a number that languages write differently: send it as text.
    """
    hung = {name: value for name, value in (canvas or {}).items() if value}
    text = ".".join([job_id, _canonical(spec), *([_canonical(hung)] if hung else [])])
    return "v1," + b64encode(hmac.digest(secret.encode(), text.encode(), sha256)).decode()


def _canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, without spaces, in ASCII."""
    _check_numbers(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _check_numbers(value: object) -> None:
    if isinstance(value, Mapping):
        for held in value.values():
            _check_numbers(held)
    elif isinstance(value, list | tuple):
        for held in value:
            _check_numbers(held)
    elif isinstance(value, float) and value and not LEAST <= abs(value) < MOST:
        raise ValueError("a number that languages write differently: send it as text")
