"""HMAC signatures of messages, for brokers that others can write to.

`callsheet.generate` costs money, so with `CALLSHEET_MESSAGE_SECRETS` set it must carry the header
`callsheet_signature`: `v1,` and the base64 of an HMAC-SHA256 over its job id, its spec and what hangs on it.
The job id is the idempotency key, so a message that is sent again, by whomever, is the same job; under
another id, with another spec or another canvas, the signature is none.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from celery.signals import before_task_publish
from kombu.utils import json as kombu_json

from worker.jobs.job import is_job_id
from worker.messaging.results import GENERATE

log = logging.getLogger(__name__)

HEADER = "callsheet_signature"
CANVAS = ("callbacks", "chain", "chord", "errbacks")
"""The canvas of a task: Celery's names in a message's body."""
SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
LEAST, MOST = 1e-4, 1e16
"""Between these every language writes a fraction alike: the shortest decimal that reads back the same, no exponent."""


def signature(secret: str, job_id: str, fields: Mapping[str, Any], canvas: Mapping[str, Any] | None = None) -> str:
    """The header's value for the job *job_id* with the spec *fields*; *canvas*: what hangs on it, as JSON holds it.

    Raises `ValueError` or `TypeError` for what has no canonical form.
    """
    return _signature(secret, _signed_text(job_id, fields, canvas))


def is_signed(
    given: object, secrets: Sequence[str], job_id: str, fields: Mapping[str, Any], canvas: Mapping[str, Any] | None
) -> bool:
    """Whether *given* is this very message's signature under any of *secrets*; takes the same time whichever it is."""
    if not isinstance(given, str) or not SIGNATURE.fullmatch(given) or not is_job_id(job_id):
        return False
    try:
        text = _signed_text(job_id, fields, canvas)
    except (ValueError, TypeError, RecursionError):
        return False
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(given, _signature(secret, text))
    return found


def _signature(secret: str, text: str) -> str:
    return "v1," + b64encode(hmac.digest(secret.encode(), text.encode(), sha256)).decode()


def _signed_text(job_id: str, fields: Mapping[str, Any], canvas: Mapping[str, Any] | None) -> str:
    """`<job id>.<spec>`, and `.<canvas>` where there is one; an id has no dot, so no two messages share a text."""
    hung = {name: value for name, value in (canvas or {}).items() if value}
    return ".".join([job_id, _canonical(fields), *([_canonical(hung)] if hung else [])])


def _canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, without spaces, in ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    waiting: list[Any] = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        elif isinstance(found, float) and found and not LEAST <= abs(found) < MOST:
            raise ValueError("a number that languages write differently: send it as text")
    return text


def sign_messages(secret: str) -> None:
    """Sign every `callsheet.generate` that this process sends from now on, through whatever Celery application.

    Links, chains, groups and chords are signed with it. What cannot be signed (a number
    that languages write differently) is sent as it is, and is refused when it arrives.
    """

    def sign(body: Any, headers: dict[str, Any], **_: Any) -> None:
        _, fields, embed = body
        try:
            headers[HEADER] = signature(secret, headers["id"], plain(fields), canvas_of(plain(embed), headers))
        except (ValueError, TypeError) as err:
            log.error("message.unsigned", extra={"job_id": headers["id"], "reason": str(err)})

    before_task_publish.disconnect(sender=GENERATE, dispatch_uid=__name__)  # whom an earlier call has named
    before_task_publish.connect(sign, sender=GENERATE, weak=False, dispatch_uid=__name__)


def canvas_of(embed: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
    """The canvas of a message: of its body and, where a chord waits for it, the group it counts for."""
    hung = {name: embed.get(name) for name in CANVAS}
    return {**hung, "group": headers.get("group")} if hung["chord"] else hung


def plain(value: Any) -> Any:
    """*value* as it stands in a message: Celery has ways of its own to write a date or a `Decimal`."""
    return json.loads(kombu_json.dumps(value))
